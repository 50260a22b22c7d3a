import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from geoseg.errors import EmptyError, InputError, OutputError, OutputExistsError
from geoseg.evaluation.sampling import SamplingOptions, sample_points

MAP = [[1, 1, 1, 1, 4, 255], [1, 1, 1, 1, 4, 255], [1, 1, 1, 0, 4, 255]]


@pytest.fixture
def sample(tmp_path, write_raster, legend):
    """A function that samples a map, and gives what was drawn and the points."""

    def draw(mapped, name="sample.gpkg", *, overwrite=False, **options):
        path = write_raster("map.tif", np.asarray(mapped, np.uint8), nodata=255)
        drawn = sample_points(
            path,
            legend,
            tmp_path / name,
            options=SamplingOptions(**options),
            overwrite=overwrite,
        )
        return drawn, gpd.read_file(tmp_path / name)

    return draw


def test_points_lie_in_their_class_at_the_centres_of_pixels(sample):
    drawn, points = sample(MAP, points=8, min_per_class=1)

    cols = (points.geometry.x - 500_000) / 0.5
    rows = (5_700_000 - points.geometry.y) / 0.5
    assert (cols % 1).tolist() == (rows % 1).tolist() == [0.5] * 8
    found = [MAP[int(row)][int(col)] for row, col in zip(rows, cols, strict=True)]
    assert points["map_value"].tolist() == found
    assert drawn.points.tolist() == [6, 1, 1]  # 11 buildings, 3 trees and the only water
    assert sorted(points["map_class"].unique()) == ["building", "tree", "water"]
    assert points["id"].tolist() == list(range(1, 9))
    assert set(points["reference"]) == {""}
    assert points.crs == "EPSG:32632"


def test_all_pixels_with_data_are_drawn_once_if_there_are_points_enough(sample):
    drawn, points = sample(MAP, points=100)

    assert drawn.points.tolist() == drawn.mapped.tolist() == [11, 3, 1]
    assert len(points.geometry.drop_duplicates()) == 15


def test_every_pixel_of_a_class_is_drawn_equally_often_over_blocks(sample):
    mapped = np.where(np.arange(1100)[:, None] % 3 == 0, 4, 1) * np.ones((1, 5), int)
    times = np.zeros(1100)
    for seed in range(20):
        _, points = sample(
            mapped, points=600, allocation="equal", min_per_class=0, seed=seed, overwrite=True
        )
        rows = ((5_700_000 - points.geometry.y) / 0.5).astype(int)
        times += np.bincount(rows, minlength=1100)

    thirds = times[mapped[:, 0] == 4]
    halves = [thirds[: len(thirds) // 2].mean(), thirds[len(thirds) // 2 :].mean()]
    assert halves == pytest.approx([20 * 300 / 367] * 2, rel=0.05)


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_points(sample, tmp_path):
    sample(MAP, "a.gpkg", points=6, min_per_class=1, seed=1)
    sample(MAP, "b.gpkg", points=6, min_per_class=1, seed=1)
    sample(MAP, "c.gpkg", points=6, min_per_class=1, seed=2)

    one, same, other = ((tmp_path / f"{name}.gpkg").read_bytes() for name in "abc")
    assert one == same != other


def test_no_point_lies_outside_the_area_of_interest(sample, write_polygons):
    aoi = write_polygons("aoi.gpkg", [box(500_000, 5_699_998, 500_001, 5_700_000)], side=["left"])

    drawn, points = sample(MAP, points=100, aoi=aoi)

    assert drawn.mapped.tolist() == [6, 0, 0]
    assert points.geometry.x.max() < 500_001


def test_other_formats_are_written_by_their_suffix(sample):
    assert len(sample(MAP, "sample.geojson", points=5, min_per_class=1)[1]) == 5


@pytest.mark.parametrize(
    ("mapped", "name", "error", "message"),
    [
        (MAP, "s.gpkg", InputError, "5 points are too few: 30 for each class takes 15 points"),
        ([[255, 255]], "s.gpkg", EmptyError, "no pixel has data"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(sample, mapped, name, error, message):
    with pytest.raises(error, match=message):
        sample(mapped, name, points=5)


def test_a_name_that_means_no_vector_format_is_refused(sample):
    with pytest.raises(OutputError, match=r"s\.txt: the name must end in one of \.gpkg"):
        sample(MAP, "s.txt", points=50)


def test_an_existing_sample_is_not_lost(sample):
    sample(MAP, points=50)

    with pytest.raises(OutputExistsError, match="--overwrite"):
        sample(MAP, points=50)
