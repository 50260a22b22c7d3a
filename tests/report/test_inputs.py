import json
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

from geoseg.errors import InputError
from geoseg.labels.legend_files import preset
from geoseg.raster.lists import find_rasters
from geoseg.report.inputs import ShowOptions, sort_inputs
from geoseg.report.layers import Ground, Reading

ELSEWHERE = Affine(0.5, 0, 600_000, 0, -0.5, 5_700_000)


def test_a_map_is_shown_with_what_shares_its_ground(files, write_raster):
    far = write_raster("far.tif", np.zeros((4, 4), np.uint8), transform=ELSEWHERE)

    named = sort_inputs(
        [files["map"], files["ortho"], far], ShowOptions(references=(files["reference"],))
    )

    both, alone = named.scenes
    assert (both.name, both.class_map) == ("map", files["map"])
    assert both.references == (files["reference"],)
    assert both.images == (files["ortho"],)
    assert (alone.class_map, alone.images) == (None, (far,))


def test_an_orthophoto_of_other_ground_is_told_of(files, write_raster):
    far = write_raster("far.tif", np.zeros((4, 4), np.uint8), transform=ELSEWHERE)

    named = sort_inputs([files["map"]], ShowOptions(orthos=(far,)))

    assert named.missing == (f"{far} overlaps none of the maps",)


def test_an_evaluation_of_a_sample_brings_its_map(files, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    inputs = {"map": str(files["map"]), "sample": "points.gpkg"}
    (folder / "evaluation.json").write_text(json.dumps({"inputs": inputs}))

    [scene] = sort_inputs([folder], ShowOptions()).scenes

    assert (scene.class_map, scene.references) == (files["map"], ())


def test_all_references_are_shown_or_none(files, tmp_path, write_raster):
    folder = tmp_path / "report"
    folder.mkdir()
    more = write_raster("more.tif", np.zeros((4, 4), np.uint8))
    further = ["more.tif", "gone.gpkg"]
    told = {"map": "map.tif", "reference": "reference.tif", "further_references": further}
    (folder / "evaluation.json").write_text(json.dumps({"inputs": {"a": told}}))

    with_them, without = (
        sort_inputs([folder], ShowOptions(without_reference=left_out)) for left_out in (False, True)
    )

    assert with_them.scenes[0].references == (files["reference"], more)
    assert with_them.missing == (f"gone.gpkg, recorded in {folder}, does not exist",)
    assert (without.missing, without.scenes[0].references) == ((), ())


def test_what_is_for_references_is_told_of_without_any(files):
    aoi = files["map"].with_name("aoi.gpkg")
    options = ShowOptions(reading=Reading(grounds=(Ground(aoi),)))

    alone = sort_inputs([files["map"]], options)
    together = sort_inputs([files["map"]], replace(options, references=(files["reference"],)))

    assert alone.missing == (f"{aoi} is not used: no map is shown with a reference",)
    assert together.missing == ()


def test_the_orthophoto_beside_a_map_is_found(files):
    [scene] = sort_inputs([files["map"]], ShowOptions()).scenes

    assert scene.images == (files["ortho"],)


def test_without_georeference_a_map_is_shown_with_what_it_was_made_of(write_raster, write_map):
    plain = {"crs": None, "transform": None}
    photos = [
        write_raster(f"in/{name}.png", np.zeros((3, 4, 4), np.uint8)) for name in ("one", "other")
    ]
    maps = [
        write_map(f"out/{name}.tif", np.ones((4, 4)), source=f"{name}.png", **plain)
        for name in ("one", "other")
    ]

    scenes = sort_inputs(maps, ShowOptions(orthos=tuple(photos))).scenes

    assert [scene.images for scene in scenes] == [(photos[0],), (photos[1],)]


def test_an_evaluation_brings_its_maps_and_says_what_is_gone(files, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    inputs = {
        "a": {"map": "map.tif", "reference": "reference.tif"},
        "b": {"map": "gone.tif", "reference": "reference.tif"},
    }
    (folder / "evaluation.json").write_text(json.dumps({"inputs": inputs}))

    named = sort_inputs([folder, files["map"]], ShowOptions())

    [scene] = named.scenes
    assert (scene.name, scene.class_map) == ("a", files["map"])
    assert scene.references == (files["reference"],)
    [missing] = named.missing
    assert "gone.tif" in missing


def test_a_raster_of_one_band_is_a_map_if_a_legend_is_named(files, write_raster):
    reading = Reading(legend=preset("binary:house"))

    [scene] = sort_inputs([files["reference"]], ShowOptions(reading=reading)).scenes

    assert scene.class_map == files["reference"]


def test_references_are_one_or_as_many_as_the_maps(files, write_map):
    maps = [files["map"], write_map("other.tif", [[1]]), write_map("third.tif", [[1]])]

    with pytest.raises(InputError, match="2 references for 3 maps"):
        sort_inputs(maps, ShowOptions(references=(files["reference"],) * 2))
    scenes = sort_inputs(maps, ShowOptions(references=(files["reference"],))).scenes
    assert {scene.references for scene in scenes} == {(files["reference"],)}


@pytest.mark.parametrize("name", ["p.gpkg", "patches"])
def test_what_cannot_be_shown_is_refused_with_the_way_out(tmp_path, name):
    path = tmp_path / name
    if not path.suffix:
        path.mkdir()
        (path / "patches.json").write_text("{}")

    with pytest.raises(InputError, match=r"--reference|geoseg info"):
        sort_inputs([path], ShowOptions())


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "evaluation.json").write_text("{")

    with pytest.raises(InputError, match=r"evaluation\.json: is damaged"):
        sort_inputs([tmp_path], ShowOptions())


def test_a_folder_of_rasters_gives_them_all(files, tmp_path):
    assert len(find_rasters([tmp_path])) == 3

    [scene] = sort_inputs([tmp_path], ShowOptions()).scenes

    assert set(scene.images) == {files["ortho"], files["reference"]}
