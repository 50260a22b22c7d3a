import json
import subprocess
import sys


def test_a_raster_is_told_in_a_screenful(geoseg, world):
    outcome = geoseg("info", world / "ortho.tif")

    assert outcome.code == 0
    assert "EPSG:32632" in outcome.out
    assert outcome.out.count("\n") < 24
    assert "\x1b" not in outcome.out


def test_a_model_is_told_with_its_legend(geoseg, model):
    outcome = geoseg("info", model)

    assert "unet on tu-test_resnet" in outcome.out
    assert "dark, bright" in outcome.out
    assert json.loads(geoseg("info", model, "--json").out)["int8"] is None


def test_a_patch_set_and_folders_of_rasters_are_told(geoseg, world):
    inputs = [world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml"]
    geoseg("tile", *inputs, "-o", world / "patches", "--patch-size", 32, "--split", "none")

    told = json.loads(geoseg("info", world / "patches", "--json").out)

    assert told["kind"] == "patch set"
    assert told["patches"]["train"] > 0
    assert geoseg("info", world / "patches" / "images").out.count(".tif") == 1


def test_what_is_missing_exits_1(geoseg, world):
    outcome = geoseg("info", world / "nothing.tif")

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith("nothing.tif: no such file\n")


def test_nothing_heavy_is_loaded(world):
    code = (
        "import sys; from geoseg.commands import info; "
        f"info.info(path=__import__('pathlib').Path({str(world / 'ortho.tif')!r}), json=False); "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_at_their_defaults_are_not_told_as_changed(geoseg, world):
    folder = world / "begun"
    folder.mkdir()
    options = {"lr": 2e-3, "batch_size": 10, "schedule": "poly", "max_time": 60.0}
    (folder / "run.json").write_text(json.dumps({"options": options}))

    outcome = geoseg("info", folder, "--json")

    assert json.loads(outcome.out)["changed_options"] == {"schedule": "poly", "max_time": 60.0}
