from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto
from onnx_models import DEEPNESS, write_onnx

from geoseg.errors import BundleError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import ModelBundle
from geoseg.model.export import ExportOptions, export
from geoseg.model.imports import ImportOptions
from geoseg.model.onnx_import import import_onnx
from geoseg.model.runtime import open_runtime

AUTO = ImportOptions()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "theirs.onnx"


def without(*keys):
    return {key: value for key, value in DEEPNESS.items() if key not in keys}


def windows(size=32):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, size, size)).astype(np.float32)
    images[0, :, :5] = np.nan
    return images


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("how", "activation"),
    [({}, "none"), ({"last": "Identity"}, "softmax"), ({"last": "Sigmoid", "gain": 1}, "none")],
)
def test_a_model_of_deepness_gives_its_classes(path, runtime, how, activation):
    bundle = import_onnx(write_onnx(path, DEEPNESS, **how), path.parent / "b", options=AUTO).bundle
    images = windows()

    scores = open_runtime(bundle, runtime=runtime, precision="fp32", window_size=32)(images)

    assert bundle.onnx == activation
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    clear = ~np.isnan(images).any(axis=1)
    clear &= np.diff(np.sort(images, axis=1)[:, 1:], axis=1)[:, 0] > 0  # no two are the brightest
    expected = np.nan_to_num(images).argmax(axis=1)
    assert (scores.argmax(axis=1) == expected)[clear].all()


def test_what_the_file_says_becomes_the_bundle(path):
    metadata = DEEPNESS | {
        "standardization_mean": [0.4, 0.5, 0.6],
        "standardization_std": [0.1] * 3,
    }

    report = import_onnx(write_onnx(path, metadata), path.parent / "b", options=AUTO)

    bundle = report.bundle
    assert bundle == ModelBundle.load(path.parent / "b")
    assert bundle.legend.names == ["reddish", "greenish", "bluish"]
    assert (bundle.gsd, bundle.patch_size, bundle.sizes) == (0.5, 32, (32,))
    assert bundle.normalisation.mean == pytest.approx((102, 127.5, 153))
    assert bundle.normalisation.std == pytest.approx((25.5,) * 3)
    assert report.notes == ()


def test_options_say_what_the_file_does_not(path):
    options = ImportOptions(classes=("a", "b", "c"), gsd=0.1, mean=(0.5,), std=(2.0,), divisor=10)

    bundle = import_onnx(write_onnx(path, {}), path.parent / "b", options=options).bundle

    assert bundle.legend.names == ["a", "b", "c"]
    assert (bundle.gsd, bundle.normalisation.mean, bundle.normalisation.std) == (
        0.1, (5,) * 3, (20,) * 3,
    )  # fmt: skip


def test_what_is_not_known_is_said(path):
    metadata = without("resolution", "standardization_mean") | {"seg_thresh": 0.8}

    notes = "\n".join(
        import_onnx(write_onnx(path, metadata), path.parent / "b", options=AUTO).notes
    )

    assert "GSD is unknown" in notes
    assert "no normalisation: pixels are divided by 255" in notes
    assert "threshold of 0.8 is not taken" in notes


@pytest.mark.parametrize(("last", "activation"), [("Sigmoid", "none"), ("Identity", "sigmoid")])
def test_a_single_channel_is_a_class_and_its_background(path, last, activation):
    metadata = DEEPNESS | {"class_names": "{0: 'building'}"}  # as Python writes it
    write_onnx(path, metadata, classes=1, last=last, gain=20)
    options = ImportOptions(mean=(0.5,), std=(1.0,))

    bundle = import_onnx(path, path.parent / "b", options=options).bundle

    scores = open_runtime(bundle, runtime="onnxruntime", window_size=32)(windows()[1:])
    assert (bundle.onnx, bundle.legend.names) == (activation, ["background", "building"])
    assert ((scores[0, 1] > 0.5) == (windows()[1, 0] > 127.5)).all()


def test_windows_of_any_size_are_taken_where_the_axes_are_open(path):
    write_onnx(path, DEEPNESS, axes=("n", 3, "rows", "columns"))

    bundle = import_onnx(path, path.parent / "b", options=AUTO).bundle

    assert (bundle.sizes, bundle.patch_size) == ((), 32)
    scores = open_runtime(bundle, window_size=96, network_size=64)(windows(96))
    assert scores.shape == (2, 3, 96, 96)


def test_weights_beside_the_file_come_along(path):
    write_onnx(path, DEEPNESS, apart=True)
    folder = path.parent / "b"
    import_onnx(path, folder, options=AUTO)
    (path.parent / "weights.bin").unlink()

    bundle = ModelBundle.load(folder)

    assert sorted(each.name for each in folder.iterdir() if each.suffix == ".onnx") == [
        "model.onnx"
    ]
    assert open_runtime(bundle, runtime="onnxruntime", window_size=32)(windows()).shape[1] == 3


@pytest.mark.parametrize(
    ("how", "metadata", "said"),
    [
        ({}, {"model_type": "Detector"}, "is a Detector"),
        ({}, without("class_names"), "does not name its 3 classes; pass --classes"),
        ({}, DEEPNESS | {"class_names": {"0": "a", "2": "b"}}, "not numbered"),
        ({}, DEEPNESS | {"class_names": {"0": "a", "1": "b"}}, "has 3 classes, and 2 are named"),
        ({}, DEEPNESS | {"geoseg_input": {"dtype": "uint8"}}, "geoseg_input is damaged"),
        ({}, DEEPNESS | {"geoseg_legend": [1]}, "geoseg_legend is damaged"),
        ({"last": "ArgMax"}, DEEPNESS, "not scores of every class"),
        ({"axes": ("n", 3, 32, 64)}, DEEPNESS, "squares are needed"),
        ({"axes": ("n", 64, 64, 3)}, DEEPNESS, "bands last"),
        ({"axes": (3, 32, 32)}, DEEPNESS, "not batch x bands"),
        ({"kind": TensorProto.FLOAT16}, DEEPNESS, "not of float32"),
        ({"axes": ("n", 4, 32, 32)}, DEEPNESS, "ONNX Runtime cannot run it|normalisation|--mean"),
    ],
)
def test_other_files_are_refused_on_one_line(path, how, metadata, said):
    write_onnx(path, metadata, **how)

    with pytest.raises(BundleError, match=said) as refused:
        import_onnx(path, path.parent / "b", options=AUTO)

    assert str(path.name) in str(refused.value) or "--mean" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (path.parent / "b").exists()


def test_what_is_no_onnx_file_is_refused(path):
    path.write_text("hello")

    with pytest.raises(BundleError, match="is no ONNX file"):
        import_onnx(path, path.parent / "b", options=AUTO)


def test_an_imported_network_is_neither_exported_nor_run_by_torch(path):
    bundle = import_onnx(write_onnx(path, DEEPNESS), path.parent / "b", options=AUTO).bundle

    with pytest.raises(BundleError, match="choose --runtime openvino or onnxruntime"):
        open_runtime(bundle, runtime="torch", window_size=32)
    with pytest.raises(BundleError, match=r"that file is .*model\.onnx"):
        export(bundle, path.parent / "a.onnx", options=ExportOptions())


def test_a_legend_gives_values_and_colours(path):
    legend = Legend.from_dict({"class": [{"value": n, "name": f"c{n}"} for n in (7, 8, 9)]})

    bundle = import_onnx(
        write_onnx(path, DEEPNESS), path.parent / "b", options=AUTO, legend=legend
    ).bundle

    assert bundle.legend == legend
    fewer = replace(legend, classes=legend.classes[:2])
    with pytest.raises(BundleError, match="has 3 classes, and 2 are named"):
        import_onnx(path, path.parent / "c", options=AUTO, legend=fewer)
