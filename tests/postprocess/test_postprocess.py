import json

import numpy as np
import pytest
import rasterio
from maps import blotches

from geoseg.errors import EmptyError, InputError, LegendError, OutputExistsError
from geoseg.labels.legend import Legend
from geoseg.postprocess.options import ClassArea, Fill, PostprocessOptions, Rule
from geoseg.postprocess.postprocess import postprocess_map
from geoseg.prediction.map_writer import MapOutputs
from geoseg.raster.grid import AreaSize, Length

LEGEND = Legend.from_dict(
    {"class": [{"value": v, "name": n} for v, n in ((7, "grass"), (0, "roof"), (3, "tree"))]}
)
ALL = PostprocessOptions(
    fill=(Fill("tree"),),
    max_distance=Length(2, "px"),
    majority=Length(3, "px"),
    rules=(Rule("roof", larger=False, area=AreaSize(30, "px"), into="grass"),),
    fill_holes=(ClassArea(AreaSize(60, "px"), "roof"),),
    min_area=(ClassArea(AreaSize(3, "m2")),),
    connectivity=8,
)


@pytest.fixture
def class_map(write_raster):
    """A map that geoseg did not write; one of its roofs has a yard."""
    indices = blotches(0)
    indices[25:40, 20:35] = LEGEND.names.index("roof")
    indices[30:35, 25:30] = LEGEND.names.index("grass")
    return write_raster("map.tif", LEGEND.decode_map(indices), nodata=255)


def improve(class_map, name, options, legend=LEGEND, **choices):
    path = class_map.with_name(name)
    outputs = MapOutputs(class_map=path, overwrite=choices.pop("overwrite", False))
    return postprocess_map(class_map, legend, outputs, options=options, **choices)


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_the_file_is_the_same_to_the_byte_whatever_the_strips(class_map):
    reports = [improve(class_map, f"{rows}.tif", ALL, rows=rows) for rows in (3, 43)]

    assert reports[0].path.read_bytes() == reports[1].path.read_bytes()
    assert reports[0].changed == reports[1].changed
    assert list(reports[0].changed) == [
        "fill tree=nearest within 2px",
        "majority 3px",
        "rule roof<30px:grass",
        "fill-holes roof=60px",
        "min-area 3m2",
    ]
    assert min(reports[0].changed.values()) > 0


def test_a_class_with_an_area_of_its_own_has_its_holes_filled_by_that_alone(class_map):
    options = PostprocessOptions(
        fill_holes=(ClassArea(AreaSize(2, "px"), "roof"), ClassArea(AreaSize(60, "px")))
    )

    report = improve(class_map, "new.tif", options)

    assert set(report.changed) == {
        "fill-holes grass=60px",
        "fill-holes roof=2px",
        "fill-holes tree=60px",
    }
    assert read(report.path)[32, 27] == LEGEND.classes[LEGEND.names.index("grass")].value


def test_operations_in_one_go_are_those_one_after_the_other(class_map):
    fill = PostprocessOptions(fill=ALL.fill, max_distance=ALL.max_distance)
    sieve = PostprocessOptions(min_area=ALL.min_area, connectivity=8)
    both = PostprocessOptions(
        fill=ALL.fill, max_distance=ALL.max_distance, min_area=ALL.min_area, connectivity=8
    )

    filled = improve(class_map, "filled.tif", fill).path
    one_by_one = improve(filled, "sieved.tif", sieve).path
    at_once = improve(class_map, "both.tif", both).path

    assert (read(one_by_one) == read(at_once)).all()
    assert (read(filled) != read(at_once)).any()


def test_the_new_map_is_a_class_map_as_others_are(class_map):
    report = improve(class_map, "new.tif", ALL)

    with rasterio.open(report.path) as file:
        tags = json.loads(file.tags()["GEOSEG"])
        values = file.read(1)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.nodata == 255
        assert file.colormap(1)[7][:3] == LEGEND.classes[0].color
    assert tags["kind"] == "class map"
    assert Legend.from_dict(tags["legend"]) == LEGEND
    assert tags["provenance"]["postprocessing"][0]["map"] == "map.tif"
    counts = {c.name: int((values == c.value).sum()) for c in LEGEND.classes}
    assert tags["class_pixels"] == report.class_pixels == counts
    assert ((values == 255) == (read(class_map) == 255)).all()
    names = {path.name for path in report.path.parent.iterdir()}
    assert names == {"map.tif", "new.tif", "new.tif.aux.xml", "new.qml"}


def test_what_a_map_was_made_of_is_handed_on(class_map):
    first = improve(class_map, "first.tif", PostprocessOptions(majority=Length(3, "px"))).path

    second = improve(first, "second.tif", PostprocessOptions(majority=Length(5, "px"))).path

    with rasterio.open(second) as file:
        steps = json.loads(file.tags()["GEOSEG"])["provenance"]["postprocessing"]
    assert [step["operations"] for step in steps] == [["majority 3px"], ["majority 5px"]]


def test_a_class_may_be_replaced_by_another(class_map):
    report = improve(class_map, "new.tif", PostprocessOptions(fill=(Fill("tree", "roof"),)))

    before = read(class_map)
    assert (read(report.path) == np.where(before == 3, 0, before)).all()
    assert report.class_pixels["tree"] == 0


def test_a_limit_of_a_class_goes_before_the_one_of_all(write_raster):
    values = np.full((9, 9), 7, np.uint8)
    values[2, 2] = 0
    values[6, 6] = 3
    limits = (ClassArea(AreaSize(1, "px"), "tree"), ClassArea(AreaSize(2, "px")))

    new = improve(write_raster("m.tif", values), "n.tif", PostprocessOptions(min_area=limits)).path

    assert (np.flatnonzero(read(new) != 7) == [6 * 9 + 6]).all()


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        (PostprocessOptions(fill=(Fill("rock"),)), LegendError, "no class 'rock'"),
        (PostprocessOptions(fill=(Fill("tree", "rock"),)), LegendError, "no class 'rock'"),
        (PostprocessOptions(min_area=(ClassArea(AreaSize(1, "px"), "x"),)), LegendError, "'x'"),
        (PostprocessOptions(majority=Length(1, "px")), InputError, "smooths nothing"),
    ],
)
def test_what_does_not_fit_is_told(class_map, options, error, reason):
    with pytest.raises(error, match=reason):
        improve(class_map, "new.tif", options)

    assert [path.name for path in class_map.parent.iterdir()] == ["map.tif"]


def test_pictures_have_no_square_metres(write_raster):
    picture = write_raster("map.png", np.zeros((5, 5), np.uint8))

    with pytest.raises(InputError, match="give it in px"):
        improve(picture, "new.tif", ALL)


def test_an_empty_map_and_unknown_values_are_refused(write_raster):
    sieve = PostprocessOptions(min_area=(ClassArea(AreaSize(2, "px")),))
    empty = write_raster("empty.tif", np.full((5, 5), 255, np.uint8), nodata=255)
    unknown = write_raster("unknown.tif", np.full((5, 5), 9, np.uint8))

    with pytest.raises(EmptyError):
        improve(empty, "new.tif", sieve)
    with pytest.raises(LegendError, match=r"unknown.tif: values without a class: 9"):
        improve(unknown, "new.tif", sieve)


def test_an_existing_map_is_replaced_only_if_asked_for(class_map):
    improve(class_map, "new.tif", ALL)

    with pytest.raises(OutputExistsError):
        improve(class_map, "new.tif", ALL)
    improve(class_map, "new.tif", ALL, overwrite=True)
