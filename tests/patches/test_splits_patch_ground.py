import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.patches.index import write_index
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch, PatchSetRecord, Source
from geoseg.patches.splits import patch_boxes, patch_footprints
from geoseg.raster.grid import Grid
from geoseg.raster.reader import ReadOptions
from geoseg.raster.window import Window

UTM = CRS.from_epsg(32632)
DEGREES = CRS.from_epsg(4326)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
IN_DEGREES = Affine(1e-6, 0, 13.4, 0, -1e-6, 52.5)
TURNED = NORTH_UP @ Affine.rotation(30)


@pytest.fixture
def patches_on(tmp_path):
    """A function that makes an index of four patches of 4 x 4 pixels on each grid of 8 x 8."""

    def make(*places):
        patches = [
            Patch(
                source=source,
                window=Window(row_off=row_off, col_off=col_off, height=4, width=4),
                split="train",
                valid_share=1.0,
                class_shares=(1.0,),
            )
            for source in range(len(places))
            for row_off in (0, 4)
            for col_off in (0, 4)
        ]
        file = tmp_path / "not_read.tif"
        record = PatchSetRecord(
            size=4,
            stride=4,
            storage="index",
            legend=Legend.from_dict({"class": [{"name": "a"}]}),
            sources=tuple(
                Source(name=f"s{n}", ortho=file, reference=file) for n in range(len(places))
            ),
            read=ReadOptions(),
            reference=ReferenceOptions(),
            bands=1,
            band_names=("gray",),
            dtype="uint8",
            gsd=None,
            statistics={},
            class_pixels=(1,),
        )
        write_index(tmp_path, record, patches, [Grid(crs, place, 8, 8) for crs, place in places])
        return PatchSet.open(tmp_path)

    return make


OWN = [[0, 0, 4, 4], [0, 4, 4, 8], [4, 0, 8, 4], [4, 4, 8, 8]]


@pytest.mark.parametrize(
    ("crs", "place"), [(UTM, NORTH_UP), (UTM, TURNED), (DEGREES, IN_DEGREES), (None, NORTH_UP)]
)
def test_boxes_of_one_source_are_its_windows_whatever_its_crs(patches_on, crs, place):
    boxes, frames = patch_boxes(patches_on((crs, place)))

    assert boxes.tolist() == OWN
    assert len(set(frames.tolist())) == 1


@pytest.mark.parametrize(("crs", "place"), [(UTM, TURNED), (DEGREES, IN_DEGREES)])
def test_another_source_lies_in_the_pixels_of_the_first(patches_on, crs, place):
    coarser = place @ Affine.translation(8, 2) @ Affine.scale(2)

    boxes, frames = patch_boxes(patches_on((crs, place), (crs, coarser)))

    assert boxes[:4].tolist() == OWN
    assert boxes[4:].tolist() == [
        [2, 8, 10, 16],
        [2, 16, 10, 24],
        [10, 8, 18, 16],
        [10, 16, 18, 24],
    ]
    assert set(frames.tolist()) == {-1}


def test_turned_ground_gets_the_smallest_box_that_holds_it(patches_on):
    boxes, _ = patch_boxes(patches_on((UTM, NORTH_UP), (UTM, NORTH_UP @ Affine.rotation(45))))

    half = 4 * 0.5**0.5
    assert boxes[4] == pytest.approx([0, -half, 2 * half, half], abs=1e-3)


def test_sources_of_several_crs_share_a_frame_and_pictures_have_their_own(patches_on):
    patch_set = patches_on((None, Affine.identity()), (UTM, NORTH_UP), (DEGREES, IN_DEGREES))

    boxes, frames = patch_boxes(patch_set)

    assert frames.tolist() == [0] * 4 + [-1] * 8
    assert boxes[:4].tolist() == OWN
    assert boxes[4:8] == pytest.approx(np.array(OWN), abs=1e-2)
    assert (boxes[8:, 1] > 100_000).all()  # Berlin is 300 km east of the first


def test_footprints_are_quadrangles_and_pictures_have_none(patches_on):
    patch_set = patches_on((None, Affine.identity()), (UTM, TURNED))

    footprints = patch_footprints(patch_set)

    assert shapely.is_missing(footprints).tolist() == [True] * 4 + [False] * 4
    one, right, below, across = footprints[4:]
    assert shapely.area(shapely.intersection(one, [right, below, across])).max() < 1e-15
    assert shapely.area(one) > 0
