import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from geoseg.errors import BundleError
from geoseg.model.imports import ImportOptions
from geoseg.model.runtime import open_runtime
from geoseg.model.smp_import import import_smp

ENCODER = "tu-test_resnet"
OPTIONS = ImportOptions(
    classes=("a", "b", "c"), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), patch_size=64
)
NAMED = {"arch": "unet", "encoder": ENCODER}


def options(**more):
    given = {key: getattr(OPTIONS, key) for key in ("classes", "mean", "std", "patch_size")}
    return ImportOptions(**given | more)


def network(classes=3, **how):
    torch.manual_seed(0)
    return smp.Unet(ENCODER, encoder_weights=None, classes=classes, **how).eval()


def image():
    return np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64)).astype(np.float32)


def normalised():
    mean, std = (np.reshape(each, (3, 1, 1)) for each in (OPTIONS.mean, OPTIONS.std))
    return torch.from_numpy(((image() / 255 - mean) / std).astype(np.float32))


@pytest.mark.parametrize("form", ["folder", "plain", "lightning", "safetensors"])
def test_weights_become_a_bundle_with_the_scores_of_smp(tmp_path, form):
    own, path = network(), tmp_path / "weights.pt"
    given = OPTIONS if form == "folder" else options(**NAMED)
    if form == "folder":
        own.save_pretrained(path)
    elif form == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(own.state_dict(), path)
    else:
        state = own.state_dict()
        if form == "lightning":
            inner = {f"model.{key}": value for key, value in state.items()}
            state = {"state_dict": inner | {"loss.weight": torch.ones(3)}, "epoch": 3}
        torch.save(state, path)

    bundle = import_smp(path, tmp_path / "b", options=given).bundle

    scores = open_runtime(bundle, runtime="torch", precision="fp32", window_size=64)(image())
    with torch.inference_mode():
        expected = own(normalised()).softmax(dim=1).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (bundle.arch, bundle.encoder, bundle.sizes) == ("unet", ENCODER, ())


def test_one_class_with_a_sigmoid_gets_a_background(tmp_path):
    own = network(classes=1, activation="sigmoid")
    own.save_pretrained(tmp_path / "weights")

    report = import_smp(tmp_path / "weights", tmp_path / "b", options=options(classes=("house",)))

    bundle = report.bundle
    scores = open_runtime(bundle, runtime="torch", precision="fp32", window_size=64)(image())
    with torch.inference_mode():
        expected = own(normalised()).numpy()
    assert bundle.legend.names == ["background", "house"]
    np.testing.assert_allclose(scores[:, 1:], expected, atol=1e-5)
    assert "its only class is 'house'" in report.notes[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arch": "fpn"}, r"it lacks decoder\.p5\.weight, .* and \d+ more; it has decoder\.blocks"),
        ({"bands": ("r", "g", "b", "n")}, r"for 4 bands .*weight is of 16 x 3 x 3 x 3, not 16 x 4"),
        ({"arch": None}, "pass --arch and --encoder"),
        ({"encoder": "nonsense"}, "Wrong encoder name"),
        ({"mean": None}, "pass --mean and --std.*0.485"),
        ({"mean": (1.0, 2.0)}, "--mean: has 2 numbers, the model takes 3 bands"),
        ({"std": (0.0,)}, "deviations are above 0"),
        ({"classes": ("a", "b")}, "has 3 classes, and 2 are named: a, b"),
    ],
)
def test_what_does_not_fit_is_said_on_one_line(tmp_path, changed, said):
    torch.save(network().state_dict(), tmp_path / "weights.pt")

    with pytest.raises(BundleError, match=said) as refused:
        import_smp(tmp_path / "weights.pt", tmp_path / "b", options=options(**NAMED | changed))

    assert "\n" not in str(refused.value)
    assert not (tmp_path / "b").exists()


def test_a_pickled_network_is_not_run(tmp_path):
    torch.save(network(), tmp_path / "weights.pt")

    with pytest.raises(BundleError, match="no state dict of plain tensors"):
        import_smp(tmp_path / "weights.pt", tmp_path / "b", options=options(**NAMED))


def test_a_bundle_is_not_imported_again(bundle, tmp_path):
    with pytest.raises(BundleError, match="is a bundle of geoseg already"):
        import_smp(bundle.folder, tmp_path / "b", options=OPTIONS)
