"""The steps as functions: `import geoseg`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.windows
from shapely import box
from town import write_part

import geoseg
from geoseg.errors import (
    EmptyError,
    GeosegWarning,
    OutputConflictError,
    OutputError,
    OutputExistsError,
)
from geoseg.evaluation.comparison import RegionSource
from geoseg.raster.grid import Length

ROOT = Path(geoseg.__file__).parents[1]
SAMPLE = ROOT / "sample_data"
SMALL = {"arch": "pspnet", "encoder": "tu-test_resnet", "encoder_weights": "none", "batch_size": 4}
"""A network that trains in a second."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    tiled = geoseg.tile(SAMPLE / "ortho.tif", SAMPLE / "reference.tif", folder / "patches",
                        legend=SAMPLE / "legend.toml", patch_size=128, storage="index")  # fmt: skip
    assert "<td>" in tiled._repr_html_()
    report = geoseg.train(
        folder / "patches", folder / "run", epochs=1, samples_per_epoch=8, **SMALL
    )
    assert "best of 1 epochs is 1" in report._repr_html_()
    assert "data:image/png" in report._repr_html_()
    return report.model


def test_importing_geoseg_loads_neither_torch_nor_numpy():
    code = "import sys, geoseg; sys.exit(bool({'torch', 'numpy', 'rasterio'} & {*sys.modules}))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_names_are_there_and_others_are_not():
    assert all(callable(getattr(geoseg, name)) for name in geoseg.__all__)
    assert {*geoseg.__all__} <= {*dir(geoseg)}
    with pytest.raises(AttributeError, match="nothing"):
        geoseg.nothing  # noqa: B018


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch):
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found, "README.md has no Python"
    lines = found[1].replace("sample_data/", f"{write_part(tmp_path, 896).as_posix()}/")
    lines = lines.replace("epochs=12", f"epochs=1, samples_per_epoch=8, **{SMALL}")
    monkeypatch.chdir(tmp_path)
    world = {}

    with pytest.warns(GeosegWarning, match="of this ground trained the model"):
        exec(lines, world)  # noqa: S102

    assert 0 <= world["report"].pooled.confusion.mean_iou <= 1
    assert (tmp_path / "map.tif").is_file()


def test_an_array_gets_the_scores_of_its_map(tmp_path, model):
    how = {"runtime": "torch", "precision": "fp32"}
    window = rasterio.windows.Window(0, 0, 330, 250)  # with a corner that has no data
    with rasterio.open(SAMPLE / "ortho.tif") as file:
        image = file.read(masked=True, window=window)
        profile = file.profile | {"width": 330, "height": 250}
    with rasterio.open(tmp_path / "o.tif", "w", **profile) as file:
        file.write(image.filled())
    image = image.astype(np.float32).filled(np.nan)
    geoseg.predict(model, tmp_path / "o.tif", tmp_path / "map.tif", scores=True, **how)
    with rasterio.open(tmp_path / "map_scores.tif") as file:
        stored = file.read(masked=True)

    scores = geoseg.load_model(model, **how).predict(image)

    assert (np.isnan(scores) == stored.mask).all()
    assert np.abs(scores * 254 - stored).max() <= 0.5001


def test_an_output_that_is_an_input_is_refused(tmp_path, model):
    with pytest.raises(OutputConflictError):
        geoseg.predict(model, SAMPLE / "ortho.tif", SAMPLE / "ortho.tif", overwrite=True)
    with pytest.raises(OutputConflictError):
        geoseg.predict(model, SAMPLE / "ortho.tif", SAMPLE / "ortho.tif", resume=True)
    (tmp_path / "map.tif").write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        geoseg.predict(model, SAMPLE / "ortho.tif", tmp_path / "map.tif")


def test_trainings_and_windows_go_to_disks_alone(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = "is written to disks alone; name a path of this machine"
    with pytest.raises(OutputError, match=f"^s3://b/run: {refused}"):
        geoseg.train(model.parent.parent / "patches", "s3://b/run", epochs=1)
    with pytest.raises(OutputError, match=f"^s3://b/windows: {refused}"):
        geoseg.predict(model, SAMPLE / "ortho.tif", "map.tif", windows="s3://b/windows")

    assert not any(tmp_path.iterdir())


def test_a_training_goes_on_from_a_run(tmp_path, model):
    """A run stands for its model, and a path for its text, as on the command line."""
    run, how = tmp_path / "run", {"epochs": 1, "samples_per_epoch": 8, **SMALL}

    geoseg.train(model.parent.parent / "patches", run, init_from=model.parent, **how)

    assert json.loads((run / "run.json").read_text())["options"]["init_from"] == str(model)
    bundle = geoseg.load_model(run).bundle
    assert bundle.training["options"]["init_from"] == str(model)


def test_options_that_there_are_not_are_named(tmp_path):
    with pytest.raises(TypeError, match="no option is called patchsize"):
        geoseg.tile(SAMPLE / "ortho.tif", SAMPLE / "reference.tif", tmp_path / "p",
                    legend=SAMPLE / "legend.toml", patchsize=128)  # fmt: skip


def test_what_a_command_warns_of_is_a_warning(tmp_path, model):
    geoseg.predict(model, SAMPLE / "ortho.tif", tmp_path / "map.tif", patch_size=512)

    with pytest.warns(GeosegWarning, match="of this ground trained the model"):
        geoseg.evaluate(tmp_path / "map.tif", SAMPLE / "reference.tif",
                        legend=SAMPLE / "legend.toml")  # fmt: skip


def test_warnings_name_the_line_that_called_geoseg(tmp_path):
    (tmp_path / "map.qml").write_text("<qgis of something else/>")
    with pytest.warns(GeosegWarning, match="is the style of something else") as deep:
        geoseg.vectorize(
            SAMPLE / "reference.tif", tmp_path / "map.fgb", legend=SAMPLE / "legend.toml"
        )
    maps = SAMPLE / "reference.tif", SAMPLE / "reference.tif"
    with pytest.warns(GeosegWarning, match="their bounds are rough") as shallow:
        geoseg.evaluate(*maps, legend=SAMPLE / "legend.toml", intervals=95, block=Length(400, "px"))

    assert {each.filename for each in [*deep, *shallow]} == {__file__}


def test_what_is_passed_over_in_a_folder_is_a_warning(tmp_path, write_raster):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) % 6 + 1
    for name, kind in (("map", "class map"), ("map_scores", "scores")):
        path = write_raster(f"maps/{name}.tif", pixels)
        with rasterio.open(path, "r+") as file:
            file.update_tags(GEOSEG=json.dumps({"kind": kind}))
    truth = write_raster("truth.tif", pixels)

    with pytest.warns(GeosegWarning, match=r"1 of 2 files taken; passed over: 1 scores") as told:
        report = geoseg.evaluate(tmp_path / "maps", truth, legend=SAMPLE / "legend.toml")

    assert report.pooled.confusion.overall_accuracy == 1
    assert {each.filename for each in told} == {__file__}


def test_evaluate_warns_of_few_blocks_and_refuses_regions_that_lie_nowhere(write_polygons):
    maps = SAMPLE / "reference.tif", SAMPLE / "reference.tif"
    away = write_polygons("away.gpkg", [box(0, 0, 1, 1)], town=["away"])

    with pytest.warns(GeosegWarning, match=r"only \d+ blocks of 400px: their bounds are rough"):
        geoseg.evaluate(*maps, legend=SAMPLE / "legend.toml", intervals=95, block=Length(400, "px"))
    with pytest.raises(EmptyError, match=r"away\.gpkg: no region lies on a map"):
        geoseg.evaluate(*maps, legend=SAMPLE / "legend.toml", by=RegionSource(away, "town"))


def test_boxes_are_suggested_where_the_map_is_least_sure(tmp_path, write_raster):
    path = write_raster("map.tif", np.ones((64, 96), np.uint8), nodata=255)
    sure = np.ones((64, 96), np.float32)
    sure[32:, 64:] = 0.5
    write_raster("map_confidence.tif", sure)
    how = {"legend": SAMPLE / "legend.toml", "windows": 2, "window_size": Length(32, "px")}

    report = geoseg.suggest(path, tmp_path / "todo.gpkg", **how)

    first, second = report.boxes
    assert (first.window.row_off, first.window.col_off, first.expected_error) == (32, 64, 0.5)
    assert (report.windows, second.expected_error, report.mean) == (6, 0, pytest.approx(0.5 / 6))
    assert gpd.read_file(tmp_path / "todo.gpkg", layer="boxes")["rank"].tolist() == [1, 2]
    with pytest.raises(OutputConflictError):
        geoseg.suggest(path, tmp_path / "map_confidence.tif", **how, overwrite=True)
    with pytest.raises(OutputError, match="outputs go to disks"):
        geoseg.suggest(path, "https://host/todo.gpkg", **how)


def test_results_show_themselves_in_notebooks(tmp_path, model):
    report = geoseg.predict(model, SAMPLE / "ortho.tif", tmp_path / "map.tif", patch_size=512)
    with pytest.warns(GeosegWarning, match="of this ground trained the model"):
        evaluation = geoseg.evaluate(
            tmp_path / "map.tif", SAMPLE / "reference.tif", legend=SAMPLE / "legend.toml"
        )
    polygons = geoseg.vectorize(tmp_path / "map.tif", tmp_path / "map.gpkg")

    shown = [each._repr_html_() for each in (report, evaluation, polygons)]

    assert all("building" in html and "background:#d7301f" in html for html in shown)
    assert ["data:image/png;base64," in html for html in shown] == [True, True, False]
    bundle = geoseg.load_model(model).bundle._repr_html_()
    assert "pspnet on tu-test_resnet" in bundle
    assert "3 bands: red, green, blue" in bundle
    assert "patches of 128 px of 0.25 m" in bundle
    assert f"mean IoU {100 * evaluation.pooled.confusion.mean_iou:.2f}" in shown[1]
    assert "% of this ground trained the model" in shown[1]
