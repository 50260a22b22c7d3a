import json
import os
from pathlib import Path

import pytest

from geoseg.errors import OutputConflictError, OutputExistsError
from geoseg.raster.folders import EVALUATION, PATCH_SET, locked
from geoseg.raster.guard import Output, check_outputs


@pytest.fixture
def files(tmp_path):
    """A function that makes files, with any text, and gives their paths."""

    def make(*names, text="precious"):
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return paths

    return make


def refused(outputs, inputs, match):
    with pytest.raises(OutputConflictError, match=match):
        check_outputs(outputs, inputs, overwrite=True)


def patch_set(folder, **record):
    """A folder with the record of a patch set."""
    folder.mkdir(parents=True)
    whole = {"kind": "patch set", "sources": [], "read": {}} | record
    (folder / "patches.json").write_text(json.dumps(whole))
    return folder


@pytest.mark.parametrize("name", ["a.tif", "far/../a.tif", "./a.tif"])
def test_an_output_is_no_input_by_whatever_name(files, tmp_path, name):
    [path] = files("a.tif")
    (tmp_path / "far").mkdir()

    refused([Output(tmp_path / name)], [path], "is an input")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_what_they_lead_to(files, tmp_path):
    [path] = files("real/a.tif")
    (tmp_path / "soft.tif").symlink_to(path)
    (tmp_path / "hard.tif").hardlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)

    for name in ("soft.tif", "hard.tif", "folder/a.tif"):
        refused([Output(tmp_path / name)], [path], "is an input")
        refused([Output(path)], [tmp_path / name], "is an input")
    refused([Output(tmp_path / "folder", EVALUATION)], [path], "holds an input")
    refused([Output(path.parent, EVALUATION)], [tmp_path / "folder/a.tif"], "holds an input")


def test_a_link_to_an_input_is_not_removed_with_its_folder(files, tmp_path):
    [path] = files("real/a.tif")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "a.tif").symlink_to(path)

    refused([Output(tmp_path / "report", EVALUATION)], [tmp_path / "report/a.tif"], "holds an")


def test_a_folder_that_is_replaced_holds_no_input(files, tmp_path):
    [path] = files("out/deep/a.tif")

    refused([Output(tmp_path / "out", EVALUATION)], [path], r"out: holds an input, .*a\.tif")


def test_nothing_is_written_into_a_folder_that_is_read(tmp_path):
    folder = patch_set(tmp_path / "patches")

    refused([Output(folder / "new" / "map.tif")], [folder], r"map\.tif: lies in an input")
    refused([Output(folder, PATCH_SET)], [folder], "is an input")


def test_a_folder_of_orthophotos_may_take_maps(files, tmp_path):
    paths = files("orthos/a.tif", "orthos/b.tif")

    check_outputs([Output(tmp_path / "orthos/maps/a.tif")], paths, overwrite=False)


@pytest.mark.parametrize(
    "key", ["ortho", "reference", "aoi", "pixels", "stacked", "labelled_areas"]
)
def test_what_a_patch_set_names_is_an_input_too(files, tmp_path, key):
    files("data/x.tif")
    source = {"ortho": "../data/a.tif", "reference": "../data/b.tif"}
    more = {"aoi": None, "read": {"stacked": []}}
    if key in source:
        source[key] = "../data/x.tif"
    elif key == "stacked":
        more["read"] = {"stacked": ["../data/x.tif"]}
    elif key == "labelled_areas":
        more["reference"] = {key: "../data/x.tif"}
    else:
        more[key] = "../data/x.tif"
    folder = patch_set(tmp_path / "patches", sources=[source], **more)

    refused([Output(tmp_path / "data" / "x.tif")], [folder], "is an input")


@pytest.mark.parametrize("form", ["GPKG:{}:a", "/vsizip/{}/deep/a.tif", 'HDF5:"{}"://group/a'])
def test_the_file_in_a_name_that_only_gdal_knows_is_an_input(files, tmp_path, form):
    [path] = files("data/x.zip")
    name = form.format(path)
    source = {"ortho": name, "reference": "../data/b.tif"}
    folder = patch_set(tmp_path / "patches", sources=[source], aoi=None, read={"stacked": []})

    refused([Output(path)], [Path(name)], "is an input")
    refused([Output(path)], [folder], "is an input")


def test_the_files_of_a_vrt_are_inputs_too(files, tmp_path):
    [inner] = files("inner.vrt", text=f"<SourceFilename>{tmp_path / 'c.tif'}</SourceFilename>")
    text = '<SourceFilename relativeToVRT="1">{}</SourceFilename>'
    [vrt] = files("whole.vrt", text=text.format("parts/b.tif") + text.format(inner.name))
    files("parts/b.tif", "c.tif")

    for name in ("parts/b.tif", "inner.vrt", "c.tif"):
        refused([Output(tmp_path / name)], [vrt], "is an input")


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.jp2", "a.qml"),
        ("a.tif", "a.tif.aux.xml"),
        ("a.tif", "a.tfw"),
        ("a.tif", "a.tif.ovr"),
        ("towns.shp", "towns.dbf"),
    ],
)
def test_what_lies_beside_an_input_belongs_to_it(files, name, beside):
    path, side = files(name, beside)

    refused([Output(side)], [path], "belongs to an input")


def test_what_is_not_there_belongs_to_nothing(files, tmp_path):
    [path] = files("a.jp2")

    check_outputs(map(Output, [tmp_path / "a.tif", tmp_path / "a.qml"]), [path], overwrite=False)


def test_two_outputs_have_two_places(files, tmp_path):
    one, folder = Output(tmp_path / "a.tif"), Output(tmp_path / "report", EVALUATION)

    refused([one, Output(tmp_path / "far/../a.tif")], [], "two outputs")
    refused([folder, Output(tmp_path / "report/errors.tif")], [], "lies in another output")


def test_an_output_that_is_being_written_is_refused_without_writing(tmp_path):
    with locked(tmp_path / "a.tif"), pytest.raises(OutputExistsError, match="another process"):
        check_outputs([Output(tmp_path / "a.tif")], [], overwrite=True)

    check_outputs([Output(tmp_path / "new" / "a.tif")], [], overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_outputs_are_checked_in_a_moment(tmp_path):
    folder = patch_set(tmp_path / "patches")
    maps = [Output(tmp_path / "maps" / f"{number}.tif") for number in range(2000)]

    check_outputs(maps, [folder], overwrite=False)
