"""One export is looked at from all sides: it takes torch some seconds."""

import json
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from affine import Affine

import geoseg as api
from geoseg import cli
from geoseg.model.export import ExportReport
from geoseg.patches.patch_set import PatchSet

MAX_IR_VERSION = 9
"""Latest format that ONNX Runtime 1.17 reads, the last one that Deepness takes."""


def as_deepness_does(path, image):
    """Classes of (bands, T, T) pixels, in the steps of the plugin: 8-bit pixels, rows first."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    mean, std = (np.float32(json.loads(meta[f"standardization_{key}"])) for key in ("mean", "std"))
    tiles = np.float32(image.transpose(1, 2, 0)[None] * 1.0 / 255.0)
    tiles = ((tiles - mean) / std).transpose(0, 3, 1, 2)
    (scores,) = session.run(None, {session.get_inputs()[0].name: tiles})
    scores[scores < json.loads(meta["seg_thresh"])] = 0
    return scores.argmax(axis=1)[0]


def write_raster(path, bands):
    where = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 4e5, 0, -0.5, 5e6)}
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **where, **shape) as file:
        file.write(bands.astype(np.uint8))


class Exported(NamedTuple):
    path: Path
    model: Path
    patches: Path
    told: dict


@pytest.fixture(scope="module")
def exported(tmp_path_factory, write_legend, write_bundle):
    """What one run of the command has written and told."""
    folder = tmp_path_factory.mktemp("export")
    patches, model, path = folder / "patches", write_bundle(folder / "model"), folder / "model.onnx"
    bright = np.kron(np.random.default_rng(0).integers(0, 2, (12, 14)), np.ones((8, 8)))
    write_raster(folder / "ortho.tif", 60 + 120 * bright[None].repeat(3, 0))
    write_raster(folder / "reference.tif", 5 + 4 * bright[None])
    write_legend(folder / "legend.toml")
    api.tile(folder / "ortho.tif", folder / "reference.tif", patches, legend=folder / "legend.toml",
             patch_size=32, split_block=32)  # fmt: skip
    words = ["geoseg", "export", model, "-o", path, "--patches", patches, "--json", "--quiet"]
    out = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", list(map(str, words)))
        with suppress(SystemExit):
            cli.main()
    return Exported(path, model, patches, json.loads(out.getvalue()))


def test_a_plain_loop_over_the_file_gives_the_classes_of_geoseg(exported):
    own = api.load_model(exported.model, runtime="torch", precision="fp32")
    patch_set = PatchSet.open(exported.patches)
    val = patch_set.in_split("val")
    same = total = 0
    for patch in val:
        image = patch_set.read(patch).image
        valid = np.isfinite(image).all(axis=0)
        pixels = np.nan_to_num(image)
        theirs = as_deepness_does(exported.path, pixels.astype(np.uint8))
        ours = own._loaded.open(32, 32)(pixels[None])[0].argmax(axis=0)
        same, total = same + (theirs == ours)[valid].sum(), total + valid.sum()

    proof = exported.told["proof"]
    assert proof == {"agreement": pytest.approx(1), "validation_patches": len(val)}
    assert same / total == pytest.approx(proof["agreement"], abs=0.01)


def test_the_file_says_what_deepness_and_geodeep_ask_for(exported):
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    meta = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}

    assert meta["class_names"] == {"0": "dark", "1": "bright"}
    assert (meta["model_type"], meta["resolution"], meta["tile_size"]) == ("Segmentor", 50, 32)
    assert (meta["standardization_mean"], meta["standardization_std"]) == ([0] * 3, [1] * 3)
    assert (meta["seg_thresh"], meta["seg_small_segment"]) == (0, 0)
    assert [each["value"] for each in meta["geoseg_legend"]["class"]] == [5, 9]
    assert meta["geoseg_proof"]["agreement"] == exported.told["proof"]["agreement"]


def test_the_file_takes_any_number_of_tiles_in_an_old_onnx_runtime(exported):
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"input": np.zeros((3, 3, 32, 32), np.float32)})

    assert session.get_outputs()[0].shape[1:] == [2, 32, 32]
    assert scores.shape == (3, 2, 32, 32)
    assert scores.sum(axis=1) == pytest.approx(1)
    assert onnx.load(exported.path).ir_version <= MAX_IR_VERSION
    assert str(Path(api.__file__).parent).encode() not in exported.path.read_bytes()


def test_an_export_is_not_replaced_unasked(geoseg, exported):
    again = geoseg("export", exported.model, "-o", exported.path)

    assert again.code == 1
    assert again.err == f"geoseg: {exported.path} exists; use --overwrite to replace it\n"


def test_python_sends_models_to_buckets_too(exported, bucket, tmp_path, monkeypatch):
    def export(bundle, path, **_):  # in an instant
        path.write_bytes(b"network")
        return ExportReport(path=path, bundle=bundle, tile_size=32, proof=None)

    monkeypatch.setattr("geoseg.model.export.export", export)
    monkeypatch.chdir(tmp_path)
    there = f"s3://{bucket.name}/m"
    sent = api.export(exported.model, f"{there}/a.onnx", mlm="a.json")
    come = api.import_model(exported.path, f"{there}/model")

    model = [f"m/model/{name}" for name in ("geoseg.json", "mlm.json", "model.onnx")]
    assert bucket.keys == ["m/a.onnx", *model]
    assert (str(sent.path), str(come.bundle.folder)) == (f"{there}/a.onnx", f"{there}/model")
    assert json.loads(Path("a.json").read_text())["assets"]["model"]["href"] == f"{there}/a.onnx"
    assert [each.name for each in tmp_path.iterdir() if each.name != "staging"] == ["a.json"]


def test_an_exported_model_comes_back_with_the_same_map(exported):
    folder = exported.path.parent
    api.import_model(exported.path, folder / "back")
    how = {"patch_size": 32, "precision": "fp32"}
    maps = [folder / "own.tif", folder / "back.tif"]
    for model, path in zip((exported.model, folder / "back"), maps, strict=True):
        api.predict(model, folder / "ortho.tif", path, **how)
    own, back = (rasterio.open(path).read(1) for path in maps)

    assert sorted(np.unique(back)) == sorted(np.unique(own))
    assert (own == back).mean() > 0.999
