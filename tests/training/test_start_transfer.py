from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from geoseg.errors import BundleError, TrainingError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import WEIGHTS, ModelBundle, Normalisation
from geoseg.model.network import build_network, load_network, save_network
from geoseg.training.options import TrainOptions
from geoseg.training.start import _band_notes, initial_state, matched_bands, transfer_weights
from geoseg.training.train import train

ARCH, ENCODER = "pspnet", "tu-test_resnet"
HEAD = "segmentation_head.0.weight"
STEM = "encoder.model.conv1.0.weight"
COLORS = ("red", "green", "blue")
MEAN, STD = (70.0, 80.0, 90.0), (10.0, 20.0, 30.0)


def network(bands, classes, seed=0):
    torch.manual_seed(seed)
    return build_network(ARCH, ENCODER, bands=bands, classes=classes, encoder_weights="none")[0]


@pytest.fixture
def make_bundle(tmp_path):
    """A function that writes a bundle with classes of the given names."""

    def make(*names, band_names=COLORS):
        bands = len(band_names)
        classes = [{"value": value, "name": name} for value, name in enumerate(names)]
        folder = tmp_path / "origin"
        folder.mkdir()
        save_network(network(bands, len(names), seed=1), folder)
        ModelBundle(
            arch=ARCH,
            encoder=ENCODER,
            legend=Legend.from_dict({"class": classes}),
            bands=bands,
            band_names=band_names,
            dtype="uint8",
            value_range=(0.0, 255.0),
            normalisation=Normalisation(mean=MEAN[:bands], std=STD[:bands]),
            patch_size=32,
            gsd=0.5,
        ).write_record(folder)
        return ModelBundle.load(folder)

    return make


def test_with_the_same_bands_and_classes_all_weights_are_taken_and_nothing_is_said(make_bundle):
    bundle, ours = make_bundle("dark", "bright"), network(3, 2)

    assert transfer_weights(ours, bundle, band_names=COLORS, names=["dark", "bright"]) == ()

    theirs = load_file(bundle.folder / WEIGHTS)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.state_dict().items())


def test_classes_are_found_by_name_and_new_ones_keep_what_they_have(make_bundle):
    bundle, ours = make_bundle("dark", "bright", "sea"), network(3, 3)
    before = ours.state_dict()[HEAD].clone()

    notes = transfer_weights(ours, bundle, band_names=COLORS, names=["bright", "moss", "dark"])

    after, theirs = ours.state_dict()[HEAD], load_file(bundle.folder / WEIGHTS)[HEAD]
    assert torch.equal(after[0], theirs[1])
    assert torch.equal(after[1], before[1])
    assert torch.equal(after[2], theirs[0])
    assert [note.split(": ", 1)[1] for note in notes] == [
        "classes that are new: moss",
        "classes that were dropped: sea",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("red", "green", "blue", "nir", "dsm"), (0, 1, 2)),  # more
        (("nir", "Blue", "Green", "Red"), (3, 2, 1)),  # in another order
        (("blue", "green", "red"), (2, 1, 0)),
        (("band 1", "band 2", "band 3", "band 4"), (0, 1, 2)),  # without names: in order
        (("red", "green", "blue", "band 4"), (0, 1, 2)),
    ],
)
def test_bands_are_found_by_name_and_new_ones_change_no_score(make_bundle, ours, theirs):
    bundle, adapted = make_bundle("dark", "bright"), network(len(ours), 2)
    image = torch.rand(1, len(ours), 32, 32)

    transfer_weights(adapted, bundle, band_names=ours, names=["dark", "bright"])

    origin = load_network(bundle.folder)
    assert torch.allclose(adapted.eval()(image), origin(image[:, theirs]), atol=1e-6)


def test_a_band_that_is_left_out_is_as_if_it_had_its_mean_everywhere(make_bundle):
    bundle, adapted = make_bundle("dark", "bright"), network(2, 2)
    image = torch.rand(1, 3, 32, 32)
    image[:, 1] = 0

    [note] = transfer_weights(adapted, bundle, band_names=["red", "blue"], names=["dark", "bright"])

    origin = load_network(bundle.folder)
    assert torch.allclose(adapted.eval()(image[:, [0, 2]]), origin(image), atol=1e-5)
    assert note.endswith("bands that were dropped: green")


def test_gray_has_the_filters_of_all_colours_and_colours_share_those_of_gray(make_bundle):
    bundle, adapted = make_bundle("dark", "bright"), network(1, 2)
    image = torch.rand(1, 1, 32, 32)

    [note] = transfer_weights(adapted, bundle, band_names=["gray"], names=["dark", "bright"])

    origin = load_network(bundle.folder)
    assert torch.allclose(adapted.eval()(image), origin(image.expand(-1, 3, -1, -1)), atol=1e-5)
    assert note.endswith("gray together take the place of red, green, blue")


@pytest.mark.parametrize(
    ("old", "new", "notes"),
    [
        (COLORS, COLORS, []),
        (COLORS, ("green", "blue", "red"), []),
        (COLORS, ("band 1", "b2", ""), ["band 1, b2,  take the places of red, green, blue"]),
        (
            COLORS,
            ("nir", "red", "green"),
            ["bands that are new and weigh nothing yet: nir", "bands that were dropped: blue"],
        ),
        (("red", "red", "dsm"), ("dsm", "red"), ["bands that were dropped: red"]),
        (COLORS, ("nir", "swir"), ["nir, swir take the places of red, green", "dropped: blue"]),
    ],
)
def test_what_becomes_of_bands_is_said(old, new, notes):
    said = _band_notes(old, new, matched_bands(old, new))

    assert len(said) == len(notes)
    assert all(part in line for part, line in zip(notes, said, strict=True))


def test_known_bands_keep_their_normalisation_and_new_ones_have_that_of_the_patches(
    make_bundle, tmp_path
):
    origin = make_bundle("dark")
    statistics = {"mean": [1.0, 2.0], "std": [3.0, 4.0], "p2": [0, 0], "p98": [9, 9]}
    record = SimpleNamespace(
        legend=origin.legend,
        statistics=statistics,
        bands=2,
        band_names=("nir", "green"),
        dtype="uint8",
        size=32,
        gsd=None,
    )
    options = TrainOptions(
        arch=ARCH, encoder=ENCODER, encoder_weights="none", init_from=origin.folder
    )

    same = initial_state(record, options)
    record.dtype = "uint16"
    other = initial_state(record, options)

    assert same.bundle.normalisation == Normalisation(mean=(1.0, 80.0), std=(3.0, 20.0))
    assert other.bundle.normalisation == Normalisation(mean=(1.0, 2.0), std=(3.0, 4.0))
    assert other.notes[-1].endswith("the normalisation is that of the patches, of uint16")


def test_a_training_goes_on_from_a_bundle_with_its_normalisation(
    patches, tmp_path, quick, make_bundle
):
    origin = make_bundle("dark", "sea")
    options = replace(quick, encoder=None, init_from=origin.folder, epochs=1, lr=1e-9)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    bundle = ModelBundle.load(report.model)
    ours, theirs = load_file(report.model / WEIGHTS), load_file(origin.folder / WEIGHTS)
    assert bundle.encoder == ENCODER
    assert bundle.normalisation == origin.normalisation
    assert bundle.training_ground is not None
    assert not bundle.training_ground.is_complete  # where the origin was trained nobody knows
    assert torch.allclose(ours[STEM], theirs[STEM], atol=1e-6)
    assert "classes that are new: bright" in report.notes[0]
    assert "classes that were dropped: sea" in report.notes[1]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"arch": "fpn"}, TrainingError, "use --arch pspnet --encoder tu-test_resnet"),
        ({"encoder": "resnet18"}, TrainingError, "use --arch pspnet --encoder tu-test_resnet"),
        ({"encoder_weights": "imagenet"}, TrainingError, "exclude each other"),
        ({"decoder_channels": "half"}, TrainingError, "a decoder of full channels, not of 256"),
        ({"init_from": "nowhere"}, BundleError, "no such folder"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_folder(
    patches, tmp_path, quick, make_bundle, change, error, reason
):
    options = replace(quick, init_from=make_bundle("dark").folder)

    with pytest.raises(error, match=reason):
        train(patches, tmp_path / "run", options=replace(options, **change))

    assert not (tmp_path / "run").exists()
