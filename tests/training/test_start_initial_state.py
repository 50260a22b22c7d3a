from types import SimpleNamespace

import pytest

from geoseg.model import weights
from geoseg.model.bundle import Normalisation
from geoseg.training import start as new_bundle
from geoseg.training.options import TrainOptions
from geoseg.training.start import resolve

LITE0 = "tu-tf_efficientnet_lite0"
IMAGENET = Normalisation(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))


@pytest.fixture
def installed(monkeypatch):
    """A function that says whether the packaged weights are installed."""

    def say(there):
        monkeypatch.setattr(weights, "find_spec", lambda _: object() if there else None)

    return say


def resolved(**options):
    made = resolve(TrainOptions(**options))
    return made.encoder, made.encoder_weights


def test_trainings_begin_with_packaged_weights_where_they_are_installed(installed):
    installed(True)

    assert resolved() == (LITE0, "package:lite0")
    assert resolved(arch="deeplabv3plus") == (LITE0, "package:lite0")


def test_without_them_trainings_begin_from_scratch(installed):
    installed(False)

    assert resolved() == ("resnet18", "none")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"encoder": "resnet34"}, ("resnet34", "none")),
        ({"encoder": LITE0}, (LITE0, "none")),
        ({"encoder_weights": "none"}, ("resnet18", "none")),
        ({"encoder_weights": "imagenet"}, ("resnet18", "imagenet")),
        ({"arch": "dpt"}, ("resnet18", "none")),  # takes transformers alone
    ],
)
def test_who_names_a_network_gets_that(installed, options, expected):
    installed(True)

    assert resolved(**options) == expected


def test_a_bundle_to_begin_with_says_which_network_it_is(installed, monkeypatch):
    installed(True)

    class Origin:
        encoder = "resnet50"

        @classmethod
        def load(cls, _):
            return cls()

        def require_torch(self, otherwise):
            pass

    monkeypatch.setattr(new_bundle, "ModelBundle", Origin)
    monkeypatch.setattr(new_bundle, "decoder_channels_of", lambda _: "64,32,16,16,16")

    assert resolved(init_from="model") == ("resnet50", "none")
    assert resolve(TrainOptions(init_from="model")).decoder_channels == "64,32,16,16,16"
    wider = TrainOptions(init_from="model", decoder_channels="full")
    assert resolve(wider).decoder_channels == "full"


@pytest.mark.parametrize(
    ("dtype", "wanted", "mean", "std"),
    [
        ("uint8", IMAGENET, (51.0, 102.0, 153.0, 51.0), (25.5, 51.0, 76.5, 25.5)),
        ("uint16", IMAGENET, (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)),
        ("uint8", None, (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)),
    ],
)
def test_pictures_are_normalised_as_the_weights_want_it(dtype, wanted, mean, std):
    statistics = {"mean": [1.0, 2.0, 3.0, 4.0], "std": [5.0, 6.0, 7.0, 8.0]}
    record = SimpleNamespace(bands=4, dtype=dtype, statistics=statistics)

    normalisation = new_bundle._normalisation(record, wanted)

    assert normalisation.mean == pytest.approx(mean)
    assert normalisation.std == pytest.approx(std)
