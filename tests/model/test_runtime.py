import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from geoseg.errors import BundleError
from geoseg.model import runtime as runtimes
from geoseg.model.openvino import has_fast_bf16
from geoseg.model.runtime import open_runtime

NAMES = ("torch", "openvino", "onnxruntime")
SIZES = [(64, None), (64, 64), (40, None), (45, 32), (32, 64)]


def windows(size, count=5):
    images = np.random.default_rng(0).uniform(0, 255, (count, 3, size, size)).astype(np.float32)
    images[0, :, : size // 3] = np.nan
    return images


def opened(bundle, name, size=64, network_size=None, **choices):
    return open_runtime(
        bundle, runtime=name, device="cpu", window_size=size, network_size=network_size, **choices
    )


@pytest.mark.parametrize(
    ("name", "size", "network_size"),
    [*(("openvino", *each) for each in SIZES), *(("onnxruntime", *each) for each in SIZES[3:4])],
)
def test_every_runtime_gives_the_scores_of_torch(bundle, name, size, network_size):
    images = windows(size)
    expected = opened(bundle, "torch", size, network_size, precision="fp32")(images)

    scores = opened(bundle, name, size, network_size, precision="fp32")(images)

    assert scores.shape == (5, 3, size, size)
    assert scores.dtype == np.float32
    assert scores.flags.c_contiguous
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_window_has_the_same_scores_whatever_else_is_in_the_batch(bundle, name, batch_size):
    runtime = opened(bundle, name, batch_size=batch_size)
    images = windows(64, count=4)

    together = runtime(images)
    others = runtime(np.concatenate([images[:1], images[:0:-1] + 1]))

    assert np.array_equal(together[0], others[0])
    assert np.array_equal(runtime(images), together)


@pytest.mark.parametrize("name", NAMES)
def test_threads_get_the_bytes_that_one_caller_gets(bundle, name):
    runtime = opened(bundle, name)
    batches = [windows(64, count=2) + shift for shift in range(12)]
    expected = [runtime(batch) for batch in batches]

    with ThreadPoolExecutor(runtime.streams + 2) as pool:
        found = list(pool.map(runtime, batches))

    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_callers_own(bundle, name):
    runtime = opened(bundle, name)
    first = runtime(windows(64, count=1))
    kept = first.copy()

    runtime(windows(64, count=1)[:, ::-1].copy())
    first_again = first.copy()
    first[...] = 0

    assert np.array_equal(first_again, kept)
    assert np.array_equal(runtime(windows(64, count=1)), kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_says_what_it_is(bundle, name):
    runtime = opened(bundle, name, precision="fp32", batch_size=2)

    assert (runtime.name, runtime.runtime, runtime.precision) == (f"{name} fp32", name, "fp32")
    assert list(runtime.versions) == [name]
    assert runtime.batch_size == 2
    assert runtime.streams >= 1
    assert list(runtime.notes) == []


def test_bfloat16_in_openvino_gives_nearly_the_scores_of_float32(bundle):
    exact, rounded = (opened(bundle, "openvino", precision=each) for each in ("fp32", "bf16"))

    assert rounded.name == "openvino bf16"
    np.testing.assert_allclose(rounded(windows(64)), exact(windows(64)), atol=0.05)


def test_left_to_itself_a_cpu_takes_openvino_and_what_its_hardware_has(bundle):
    runtime = open_runtime(bundle, device="cpu", window_size=64)

    assert runtime.name == f"openvino {'bf16' if has_fast_bf16() else 'fp32'}"


def test_without_openvino_torch_is_taken(bundle, monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)

    assert open_runtime(bundle, device="cpu", window_size=64).runtime == "torch"


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"runtime": "torch", "precision": "int8"}, "choose one of these, or --runtime openvino"),
        ({"runtime": "openvino", "precision": "fp16"}, "or --runtime torch"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "or --runtime torch or openvino"),
        ({"runtime": "openvino", "device": "cuda"}, "runs on the CPU only; choose --runtime torch"),
        ({"precision": "int8", "device": "cuda:1"}, "runs on the CPU only"),
        ({"precision": "fp16", "device": "cpu"}, "not on a CPU; choose fp32 or bf16"),
        ({"device": "nonsense"}, "--device nonsense"),
        ({"precision": "int8"}, "`geoseg quantize` makes one"),
        ({"runtime": "torch", "window_size": 40}, "multiple of 32"),
        ({"runtime": "openvino", "window_size": 40}, "multiple of 32"),
        ({"runtime": "onnxruntime", "window_size": 40}, "multiple of 32"),
        ({"window_size": 64, "network_size": 40}, "multiple of 32"),
    ],
)
def test_choices_that_do_not_go_together_are_refused_with_the_way_out(fpn_bundle, choices, reason):
    with pytest.raises(BundleError, match=reason) as caught:
        open_runtime(fpn_bundle, **{"window_size": 64, "device": "cpu"} | choices)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("openvino", "openvino", "pip install openvino"),
        ("onnxruntime", "onnxruntime", r"pip install 'geoseg\[onnxruntime\]'"),
        ("onnxruntime", "onnxscript", r"pip install 'geoseg\[onnxruntime\]'"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    bundle, monkeypatch, tmp_path, name, package, command
):
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(BundleError, match=command):
        opened(bundle, name)


class Odd(smp.Unet):
    """With an operation that OpenVINO does not know."""

    def forward(self, images):
        return torch.lgamma(super().forward(images).abs() + 1)


@pytest.fixture
def odd_bundle(make_bundle, monkeypatch):
    monkeypatch.setattr(smp, "Odd", Odd, raising=False)
    return make_bundle(Odd("tu-test_resnet", encoder_weights=None, classes=3).eval(), "odd")


def test_a_network_that_openvino_cannot_run_is_run_by_torch_and_that_is_said(odd_bundle):
    runtime = open_runtime(odd_bundle, device="cpu", window_size=64)

    assert runtime.runtime == "torch"
    [note] = runtime.notes
    assert note.startswith("torch is used instead of openvino: ")
    assert "lgamma" in note
    assert "\n" not in note


def test_a_network_that_openvino_cannot_run_is_refused_to_those_who_want_openvino(odd_bundle):
    with pytest.raises(BundleError, match=r"OpenVINO cannot run odd .* use --runtime torch"):
        opened(odd_bundle, "openvino")


def test_openvino_with_a_conversion_in_the_cache_loads_neither_torch_nor_smp(bundle):
    expected = opened(bundle, "openvino", precision="fp32")(windows(64))
    code = f"""
import sys
from pathlib import Path
import numpy as np
from geoseg.model.bundle import ModelBundle
from geoseg.model.runtime import open_runtime
runtime = open_runtime(ModelBundle.load(Path({str(bundle.folder)!r})),
                       runtime="openvino", precision="fp32", window_size=64)
np.save({str(bundle.folder / "scores.npy")!r}, runtime(np.load({str(bundle.folder / "in.npy")!r})))
sys.exit(str({{"torch", "segmentation_models_pytorch", "timm"}} & set(sys.modules) or ""))
"""
    np.save(bundle.folder / "in.npy", windows(64))

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert done.stderr.strip() == ""
    assert np.array_equal(np.load(bundle.folder / "scores.npy"), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="without signals between processes")
def test_a_signal_after_a_network_is_gone_ends_nothing(bundle):
    code = f"""
import signal
from pathlib import Path
from geoseg.model.bundle import ModelBundle
from geoseg.model.openvino import has_fast_bf16
from geoseg.model.runtime import open_runtime
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
def opened():
    return open_runtime(ModelBundle.load(Path({str(bundle.folder)!r})),
                        runtime="openvino", precision="fp32", window_size=64)
first = opened()
second = opened()
del first
del second
has_fast_bf16()
signal.raise_signal(signal.SIGUSR1)
print(len(heard))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "1\n")


def test_other_weights_are_converted_anew(bundle, fpn_bundle):
    ours, theirs = (opened(each, "openvino")(windows(64)) for each in (bundle, fpn_bundle))

    assert not np.allclose(ours, theirs)
