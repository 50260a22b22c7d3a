from dataclasses import replace

import pytest
from rules import Rule, brightest_band

from geoseg.errors import BundleError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import Normalisation
from geoseg.model.ensemble import LoadedModels, RuntimeOptions


@pytest.fixture
def load(bundle):
    """A function that loads models which differ from the first as it is told."""

    def make(*changes, **choices):
        opened = []

        def open_one(own, **asked):
            opened.append(asked)
            return Rule(brightest_band, own)

        bundles = [bundle, *(replace(bundle, **change) for change in changes)]
        return LoadedModels(bundles, RuntimeOptions(**choices), open_one=open_one), opened

    return make


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bands": 4}, "one takes 3 bands, the other 4"),
        ({"legend": Legend.from_dict({"class": [{"name": "z"}]})}, "their legends differ"),
        ({"band_names": ("blue", "green", "red")}, "green, blue and .*: blue, red in other places"),
        ({"gsd": 5.0}, "trained at 0.5 and 5 m/px"),
    ],
)
def test_models_that_do_not_go_together_are_refused(load, change, reason):
    with pytest.raises(BundleError, match=reason):
        load(change)


def test_a_model_is_opened_once_per_window_size_and_batch(load):
    models, opened = load(precision="fp32")

    assert models.open(64, 64) is models.open(64, 64)
    models.open(96, 64)
    models.open(96, 64, 2)

    names = ("window_size", "network_size", "batch_size", "precision")
    assert [tuple(asked[name] for name in names) for asked in opened] == [
        (64, 64, None, "fp32"),
        (96, 64, None, "fp32"),
        (96, 64, 2, "fp32"),
    ]


def test_members_of_other_gsd_see_the_same_ground(load):
    models, opened = load({"gsd": 0.45})

    models.open(window_size=256, network_size=512)  # the orthophoto has 1 m

    assert [asked["network_size"] for asked in opened] == [512, 576]


def test_models_that_are_averaged_get_windows_that_all_of_them_take(load):
    models, _ = load({"sizes": (224, 448)}, {"sizes": (448, 896)})

    assert models.bundle.sizes == (448,)
    with pytest.raises(BundleError, match="no windows of the same size"):
        load({"sizes": (224,)}, {"sizes": (256,)})


def test_a_map_names_all_models_and_their_views(load):
    alone, _ = load()
    several, _ = load({"encoder": "other"}, test_time_augmentation="d4")

    assert alone.record["model"] == "unet/tu-test_resnet"
    assert several.record["model"] == ["unet/tu-test_resnet", "unet/other"]
    assert len(several.record["weights_sha256"]) == 2
    assert several.record["test_time_augmentation"] == "d4"


@pytest.mark.parametrize(
    "change",
    [
        {"gsd": 0.45},
        {"temperature": 2.0},
        {"normalisation": Normalisation(mean=(1,) * 3, std=(1,) * 3)},
    ],
)
def test_settings_beside_the_weights_that_were_edited_make_another_map(bundle, change):
    ours, theirs = (LoadedModels([each]).record for each in (bundle, replace(bundle, **change)))

    assert ours["weights_sha256"] == theirs["weights_sha256"]
    assert ours["settings_sha256"] != theirs["settings_sha256"]
