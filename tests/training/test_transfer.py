from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from geoseg.core.legend import Legend
from geoseg.errors import BundleError, TrainingError
from geoseg.model.bundle import WEIGHTS, ModelBundle, Normalisation
from geoseg.model.network import build_network, save_network
from geoseg.training import train
from geoseg.training.transfer import start_from

ARCH, ENCODER = "pspnet", "mobilenet_v2"
HEAD = "segmentation_head.0.weight"
STEM = "encoder.features.0.0.weight"


def network(bands, classes, seed=0):
    torch.manual_seed(seed)
    return build_network(ARCH, ENCODER, bands=bands, classes=classes, encoder_weights="none")[0]


@pytest.fixture
def make_bundle(tmp_path):
    """A function that writes a bundle with classes of the given names."""

    def make(*names, bands=3):
        classes = [{"value": value, "name": name} for value, name in enumerate(names)]
        folder = tmp_path / "origin"
        folder.mkdir()
        save_network(network(bands, len(names), seed=1), folder)
        ModelBundle(
            arch=ARCH,
            encoder=ENCODER,
            legend=Legend.from_dict({"class": classes}),
            bands=bands,
            band_names=tuple(map(str, range(bands))),
            dtype="uint8",
            value_range=(0.0, 255.0),
            normalisation=Normalisation(mean=(7.0,) * bands, std=(9.0,) * bands),
            patch_size=32,
            gsd=0.5,
        ).write_record(folder)
        return ModelBundle.load(folder)

    return make


def test_with_the_same_bands_and_classes_all_weights_are_taken_and_nothing_is_said(make_bundle):
    bundle, ours = make_bundle("dark", "bright"), network(3, 2)

    assert start_from(ours, bundle, bands=3, names=["dark", "bright"]) == ()

    theirs = load_file(bundle.folder / WEIGHTS)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.state_dict().items())


def test_classes_are_found_by_name_and_new_ones_keep_what_they_have(make_bundle):
    bundle, ours = make_bundle("dark", "bright", "sea"), network(3, 3)
    before = ours.state_dict()[HEAD].clone()

    notes = start_from(ours, bundle, bands=3, names=["bright", "moss", "dark"])

    after, theirs = ours.state_dict()[HEAD], load_file(bundle.folder / WEIGHTS)[HEAD]
    assert torch.equal(after[0], theirs[1])
    assert torch.equal(after[1], before[1])
    assert torch.equal(after[2], theirs[0])
    assert [note.split(": ", 1)[1] for note in notes] == [
        "classes that are new: moss",
        "classes that were dropped: sea",
    ]


@pytest.mark.parametrize("bands", [1, 4])
def test_other_bands_adapt_the_first_convolution(make_bundle, bands):
    bundle, ours = make_bundle("dark", "bright"), network(bands, 2)

    [note] = start_from(ours, bundle, bands=bands, names=["dark", "bright"])

    theirs = load_file(bundle.folder / WEIGHTS)[STEM]
    gray = torch.ones(1, 1, 3, 3)
    ours_on_gray = (ours.state_dict()[STEM] * gray).sum(1)
    assert f"from 3 to {bands} bands" in note
    if bands == 1:
        assert torch.allclose(ours_on_gray, (theirs * gray).sum(1), atol=1e-6)
    else:
        assert torch.allclose(ours.state_dict()[STEM][:, 3], theirs[:, 0] * 3 / 4)


def test_a_training_goes_on_from_a_bundle_with_its_normalisation(
    patches, tmp_path, quick, make_bundle
):
    origin = make_bundle("dark", "sea")
    options = replace(quick, encoder=None, init_from=str(origin.folder), epochs=1, lr=1e-9)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    bundle = ModelBundle.load(report.model)
    ours, theirs = load_file(report.model / WEIGHTS), load_file(origin.folder / WEIGHTS)
    assert bundle.encoder == ENCODER
    assert bundle.normalisation == origin.normalisation
    assert torch.allclose(ours[STEM], theirs[STEM], atol=1e-6)
    assert "classes that are new: bright" in report.notes[0]
    assert "classes that were dropped: sea" in report.notes[1]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"arch": "fpn"}, TrainingError, "give --arch pspnet --encoder mobilenet_v2"),
        ({"encoder": "resnet18"}, TrainingError, "give --arch pspnet --encoder mobilenet_v2"),
        ({"encoder_weights": "imagenet"}, TrainingError, "give one of them"),
        ({"init_from": "nowhere"}, BundleError, "no such folder"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_folder(
    patches, tmp_path, quick, make_bundle, change, error, reason
):
    options = replace(quick, init_from=str(make_bundle("dark").folder))

    with pytest.raises(error, match=reason):
        train(patches, tmp_path / "run", options=replace(options, **change))

    assert not (tmp_path / "run").exists()
