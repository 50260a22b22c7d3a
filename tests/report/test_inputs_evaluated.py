import json

import pytest

from geoseg.errors import InputError
from geoseg.evaluation.class_map import MapOptions
from geoseg.labels.legend_files import preset
from geoseg.labels.reference import ReferenceOptions
from geoseg.report.inputs import read_evaluated
from geoseg.report.layers import Ground, Reading

LEGEND = preset("binary:house")


@pytest.fixture
def evaluation(tmp_path):
    """A function that writes the record of an evaluation of map.tif."""
    (tmp_path / "map.tif").touch()
    folder = tmp_path / "report"
    folder.mkdir()

    def write(**record):
        inputs = {"map": {"map": "elsewhere/map.tif", "reference": "gone.gpkg"}}
        (folder / "evaluation.json").write_text(json.dumps({"inputs": inputs, **record}))
        return folder

    return write


def test_how_files_were_read_is_taken_over(evaluation, tmp_path):
    for name in ("aoi.gpkg", "patches"):
        (tmp_path / name).touch()
    how = {"attribute": "kind", "layer": None, "coding": "auto", "resample": True}
    area = {"aoi": "x/aoi.gpkg", "patches": "patches", "split": "test"}

    [scene], _ = read_evaluated(evaluation(legend=LEGEND.to_dict(), reading=how | area))

    assert scene.reading == Reading(
        legend=LEGEND,
        reference=ReferenceOptions(attribute="kind", resample=True),
        grounds=(Ground(tmp_path / "aoi.gpkg"), Ground(tmp_path / "patches", "test")),
        by_map_values=True,
    )


def test_what_is_gone_is_told_of(evaluation):
    folder = evaluation(reading={"aoi": "aoi.gpkg"})

    _, missing = read_evaluated(folder)

    assert missing == [
        f"gone.gpkg, recorded in {folder}, does not exist",
        f"aoi.gpkg, recorded in {folder}, does not exist: the reference is shown on all ground",
    ]
    assert read_evaluated(folder, references=False)[1] == []


def test_evaluations_of_earlier_versions_say_only_what_was_compared(evaluation, tmp_path):
    [scene], _ = read_evaluated(evaluation())

    assert scene.class_map == tmp_path / "map.tif"
    assert scene.reading == Reading(by_map_values=True)


@pytest.mark.parametrize("legend", [{"class": []}, {"legend_map": [["a", "b"]]}])
def test_a_damaged_legend_is_named_with_its_file(evaluation, legend):
    with pytest.raises(InputError, match=r"evaluation\.json: is damaged"):
        read_evaluated(evaluation(legend=legend))


def test_a_map_of_polygons_is_shown_on_the_pixels_of_a_raster(evaluation, tmp_path):
    drawn = {"map": {"map": "map.gpkg", "reference": "truth.tif"}}
    for name in ("map.gpkg", "grid.tif"):
        (tmp_path / name).touch()

    how = {"grid": "grid.tif", "map_attribute": "kind", "map_layer": None}
    [scene], _ = read_evaluated(evaluation(inputs=drawn, reading=how))
    assert scene.raster == tmp_path / "grid.tif"
    assert scene.reading.map == MapOptions(map_attribute="kind")

    nothing, missing = read_evaluated(evaluation(inputs=drawn))
    assert nothing == []
    assert f"{tmp_path / 'map.gpkg'} is of polygons, and no raster gives it its pixels" in missing

    (tmp_path / "truth.tif").touch()
    [scene], missing = read_evaluated(evaluation(inputs=drawn))
    assert (scene.raster, missing) == (tmp_path / "truth.tif", [])
