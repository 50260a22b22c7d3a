import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from geoseg.errors import BundleError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import (
    CONFIG,
    RECORD,
    WEIGHTS,
    ModelBundle,
    Normalisation,
    bundle_folders,
)
from geoseg.patches.training_ground import GROUND
from geoseg.raster.folders import file_sha256


def test_a_bundle_comes_back_as_it_was_written(bundle):
    again = ModelBundle.load(bundle.folder)

    assert again == bundle
    assert again.legend.names == ["a", "b", "c"]
    assert again.normalisation.std == (30.0, 31.0, 32.0)


@pytest.mark.parametrize("missing", [RECORD, CONFIG, WEIGHTS])
def test_an_incomplete_bundle_is_refused_with_the_name_of_what_is_missing(bundle, missing):
    (bundle.folder / missing).unlink()

    with pytest.raises(BundleError, match=missing):
        ModelBundle.load(bundle.folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such folder"):
        ModelBundle.load(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", "7", "{}", '{"format": 99}'])
def test_a_damaged_record_is_refused(bundle, text):
    (bundle.folder / RECORD).write_text(text)

    with pytest.raises(BundleError, match=r"damaged|format"):
        ModelBundle.load(bundle.folder)


DEEP = "[" * 100_000


@pytest.fixture
def small(tmp_path):
    """A bundle whose record and config are right, and whose network is a single weight."""
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text('{"_model_class": "Unet"}')
    ModelBundle(
        arch="unet",
        encoder="none",
        legend=Legend.from_dict({"class": [{"name": "a"}, {"name": "b"}]}),
        bands=3,
        band_names=("red", "green", "blue"),
        dtype="uint8",
        value_range=(10.0, 200.0),
        normalisation=Normalisation(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)),
        patch_size=32,
        gsd=0.5,
    ).write_record(tmp_path)
    return tmp_path


@pytest.mark.parametrize("sizes", [None, (), (224, 448)])
def test_sizes_of_windows_come_back_as_they_were_written(small, sizes):
    replace(ModelBundle.load(small), sizes=sizes).write_record(small)

    assert ModelBundle.load(small).sizes == sizes


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [(None, []), ((), [45, 64, 96, 992]), ((45, 90), [45, 90])],
)
def test_only_what_is_known_is_surely_taken(small, sizes, taken):
    bundle = replace(ModelBundle.load(small), patch_size=45, sizes=sizes)

    assert [n for n in (32, 45, 46, 64, 90, 96, 992) if bundle.accepts_size(n)] == taken


def test_a_damaged_record_of_the_training_ground_is_refused(small):
    (small / GROUND).write_text("{}")

    with pytest.raises(BundleError, match=r"ground\.json: is damaged: 'crs' is missing"):
        ModelBundle.load(small)


def test_the_smallest_bundle_is_whole(small):
    assert ModelBundle.load(small).normalisation.std == (4.0, 5.0, 6.0)


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 100_000, "null", "[]", '"x"', ""])
@pytest.mark.parametrize("name", [RECORD, CONFIG])
def test_a_file_that_holds_no_record_is_refused_in_one_line(small, name, text):
    (small / name).write_text(text)

    with pytest.raises(BundleError, match=f"{name} is damaged") as caught:
        ModelBundle.load(small)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


NAN, HUGE = float("nan"), 10**40


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("arch", value) for value in (None, 7, "", [])),
        *(("bands", value) for value in (0, -1, 2, 4, 3.0, "3", True, HUGE)),
        *(("band_names", value) for value in ("rgb", ["a", "b"], [1, 2, 3], None)),
        *(("dtype", value) for value in (5, "x", "complex64", "object", None)),
        *(("value_range", value) for value in ([1], [5, 1], [NAN, 1], ["a", "b"], 7)),
        *(("patch_size", value) for value in (0, -64, 64.0, "64", 10**9, HUGE, None, True)),
        *(("gsd", value) for value in (0, -1, NAN, float("inf"), "0.5", [], True)),
        *(("legend", value) for value in (7, [], {}, {"class": []})),
        *(("training", value) for value in (7, [1], "x")),
        *(("normalisation", value) for value in (7, {}, {"mean": [1, 2, 3]})),
        *(("normalisation.std", value) for value in ([0, 1, 1], [NAN] * 3, [1, 1], [-1, 1, 1])),
        *(("normalisation.std", value) for value in ([1] * 4, ["1"] * 3, [1e-320] * 3, 7)),
        *(("normalisation.mean", value) for value in ([NAN] * 3, [1, 1], [1e39] * 3, None)),
        *(("quantized", value) for value in (7, [], {"agreement": 1})),
        *(("sizes", value) for value in (7, [0], ["64"], [True], [10**9])),
        *(("temperature", value) for value in (0, -1, 11, NAN, "2", True)),
        *(("thresholds", value) for value in (7, [0.3], {"a": 0}, {"a": 1}, {"a": "x"})),
        *(("surprise", value) for value in (1,)),
    ],
)
def test_an_entry_of_a_wrong_type_length_or_size_is_refused_by_name(small, entry, value):
    path = small / RECORD
    record = json.loads(path.read_text())
    *tables, key = entry.split(".")
    at = record[tables[0]] if tables else record
    at[key] = value
    path.write_text(json.dumps(record))

    with pytest.raises(BundleError, match=RECORD) as caught:
        ModelBundle.load(small)

    assert key.rstrip("s") in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_name(bundle, value):
    state = load_file(bundle.folder / WEIGHTS)
    state["segmentation_head.0.bias"][1] = value
    rewrite(bundle.folder, state)

    with pytest.raises(BundleError, match=r"segmentation_head\.0\.bias .* not finite"):
        ModelBundle.load(bundle.folder)


def rewrite(folder, state):
    """Other weights, and a record that says they are the right ones."""
    (folder / WEIGHTS).unlink()  # it may be mapped
    save_file(state, folder / WEIGHTS)
    record = json.loads((folder / RECORD).read_text())
    record["weights_sha256"] = file_sha256(folder / WEIGHTS)
    (folder / RECORD).write_text(json.dumps(record))


def test_a_legend_that_is_one_class_short_of_the_network_is_refused(bundle):
    replace(bundle, legend=Legend(classes=bundle.legend.classes[:2])).write_record(bundle.folder)

    with pytest.raises(BundleError, match=r"the network has 3 classes, geoseg\.json describes 2"):
        ModelBundle.load(bundle.folder)

    edit_config(bundle.folder, classes=2)
    with pytest.raises(BundleError, match=r"the network has 3 classes, the legend .* 2"):
        ModelBundle.load(bundle.folder)


def test_bands_that_are_not_the_networks_are_refused(bundle):
    edit_config(bundle.folder, in_channels=4)

    with pytest.raises(BundleError, match=r"the network has 4 bands, geoseg\.json describes 3"):
        ModelBundle.load(bundle.folder)


def edit_config(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def test_a_record_as_the_first_version_wrote_it_is_read(small):
    """Its entries, and no others: bundles that are in use must stay in use."""
    bundle, path = ModelBundle.load(small), small / RECORD
    record = json.loads(path.read_text())
    first = {
        *("arch", "encoder", "legend", "bands", "band_names", "dtype", "value_range"),
        *("normalisation", "patch_size", "gsd", "training", "format", "weights_sha256"),
    }
    path.write_text(json.dumps({key: record[key] for key in first}))

    assert ModelBundle.load(small) == replace(bundle, temperature=1.0)


def test_weights_of_another_model_are_refused(bundle):
    weights = bundle.folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")

    with pytest.raises(BundleError, match="damaged or of another model"):
        ModelBundle.load(bundle.folder)


def test_a_constant_band_is_not_divided_by_nothing():
    assert Normalisation.from_statistics({"mean": [5, 6], "std": [0, 2]}).std == (1.0, 2)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (["."], ["."]),
        (["model"], ["model"]),
        ([f"fold{n}/model" for n in (1, 2, 10)], [f"fold{n}/model" for n in (1, 2, 10)]),
        ([], ["."]),
    ],
)
def test_a_run_means_its_model_and_a_run_of_folds_all_of_theirs(tmp_path, written, found):
    for name in written:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "geoseg.json").write_text("{}")

    assert bundle_folders(tmp_path) == [tmp_path / name for name in found]
