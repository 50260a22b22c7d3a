import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from torch import nn

from geoseg.errors import InputError, TrainingError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.model.bundle import ModelBundle
from geoseg.patches.joined import JoinedPatchSet
from geoseg.patches.patch_set import PatchSet
from geoseg.report.runs import read_entries
from geoseg.training.cross_validation import train_folds
from geoseg.training.data import TrainingSamples
from geoseg.training.dry_run import estimate_training
from geoseg.training.run_folder import draw_samples
from geoseg.training.start import initial_state, resolve
from geoseg.training.train import prepare, train
from geoseg.training.unlabelled import DECAY, Teacher, UnlabelledPatches, surest

FAR = Affine(0.5, 0, 510_000, 0, -0.5, 5_700_000)


def write(path, image, **profile):
    count, height, width = image.shape
    how = {"crs": "EPSG:32632", "transform": FAR, "dtype": image.dtype} | profile
    shape = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", **shape, **how) as file:
        file.write(image)
    return path


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An orthophoto of 64 x 96 px somewhere else, the first of its six windows without data."""
    image = np.random.default_rng(1).integers(20, 200, (3, 64, 96), np.uint8)
    image[:, :32, :32] = 0
    return write(tmp_path_factory.mktemp("bare") / "bare.tif", image, nodata=0)


@pytest.fixture(scope="module")
def _kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def first(patches, quick, _kept):
    """A model to begin with, made once."""
    if not (run := _kept / "first").exists():
        train(patches, run, options=replace(quick, epochs=1), quiet=True)
    return run


@pytest.fixture
def taught(quick, first, bare):
    """Options of a training with an orthophoto without labels."""
    return replace(quick, init_from=first, unlabelled=(bare,))


def weights_of(run):
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def test_windows_with_data_lie_side_by_side_and_have_no_labels(patches, bare):
    record = PatchSet.open(patches).record

    found = UnlabelledPatches.survey([bare], record)

    corners = [(each.window.row_off, each.window.col_off) for each in found.patches]
    assert corners == [(0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]
    image, mask = found.read(found.patches[0])
    with rasterio.open(bare) as file:
        np.testing.assert_array_equal(image, file.read()[:, :32, 32:64])
    assert (mask == IGNORE).all()
    assert {each.split for each in found.patches} == {"train"}


def test_joined_with_labelled_patches_each_is_read_from_its_own_set(patches, bare):
    labelled = PatchSet.open(patches)
    joined = JoinedPatchSet([labelled, UnlabelledPatches.survey([bare], labelled.record)])
    own, all_of_them = labelled.in_split("train"), joined.in_split("train")

    assert len(all_of_them) == len(own) + 5
    np.testing.assert_array_equal(joined.read(all_of_them[0]).mask, labelled.read(own[0]).mask)
    assert (joined.read(all_of_them[len(own)]).mask == IGNORE).all()
    for name, values in labelled.record.statistics.items():
        assert joined.record.statistics[name] == pytest.approx(values)
    assert joined.record.class_pixels == labelled.record.class_pixels


def test_half_of_an_epoch_is_unlabelled_and_every_labelled_patch_comes_once(patches, taught):
    labelled = len(PatchSet.open(patches).in_split("train"))

    samples = TrainingSamples(PatchSet.open(patches), taught)

    numbers = [key.number for key in samples.loader(batch_size=4, workers=0).sampler]
    assert len(numbers) == 2 * labelled
    assert sorted(each for each in numbers if each < labelled) == list(range(labelled))


@pytest.mark.parametrize(
    ("image", "profile", "reason"),
    [
        (np.ones((1, 64, 64), np.uint8), {}, "has 1 bands of uint8, the patches have 3 of uint8"),
        (np.ones((3, 64, 64), np.uint16), {}, "has 3 bands of uint16"),
        (np.zeros((3, 64, 64), np.uint8), {"nodata": 0}, "has no data"),
    ],
)
def test_rasters_unlike_the_patches_are_refused(patches, tmp_path, image, profile, reason):
    path = write(tmp_path / "odd.tif", image, **profile)

    with pytest.raises(TrainingError, match=f"--unlabelled {path}: {reason}"):
        UnlabelledPatches.survey([path], PatchSet.open(patches).record)


def test_pixels_of_another_size_are_told(patches, tmp_path):
    record = PatchSet.open(patches).record
    image = np.random.default_rng(2).integers(0, 255, (3, 64, 64), np.uint8)
    path = write(tmp_path / "coarse.tif", image, transform=FAR @ Affine.scale(2))

    (note,) = UnlabelledPatches.survey([path], record).notes

    assert "its GSD is 1 m/px, that of the patches 0.5 m/px" in note


def test_a_raster_of_few_colours_may_be_a_mask_which_is_told(patches, tmp_path, bare):
    record = PatchSet.open(patches).record
    path = write(tmp_path / "mask.tif", np.full((3, 64, 64), 9, np.uint8))

    assert UnlabelledPatches.survey([bare], record).notes == ()
    told = UnlabelledPatches.survey([path], record).notes
    assert told == (f"{path}: a sample of it has at most 32 colours: is it a mask, no orthophoto?",)


def test_a_class_map_is_no_orthophoto(patches, tmp_path):
    path = write(tmp_path / "map.tif", np.ones((1, 64, 64), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (200, 0, 0)})

    with pytest.raises(TrainingError, match="has a palette, as class maps do"):
        UnlabelledPatches.survey([path], PatchSet.open(patches).record)


def test_bands_in_another_order_are_refused(patches, tmp_path, bare):
    record = replace(PatchSet.open(patches).record, band_names=("red", "green", "blue"))
    path = write(tmp_path / "bgr.tif", np.full((3, 64, 64), 9, np.uint8))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("blue", "green", "red")

    with pytest.raises(TrainingError, match="blue, red in other places"):
        UnlabelledPatches.survey([path], record)


def test_names_are_those_of_folders_and_patterns(quick, first, bare):
    options = resolve(replace(quick, init_from=first, unlabelled=str(bare.parent / "*.tif")))

    assert options.unlabelled == (bare,)
    assert resolve(options).unlabelled == (bare,)


def test_what_is_not_there_is_named(quick, first, tmp_path):
    with pytest.raises(InputError, match=r"nothing\*: matches no file"):
        resolve(replace(quick, init_from=first, unlabelled=(tmp_path / "nothing*",)))


def test_without_a_model_nobody_labels_them(quick, bare):
    with pytest.raises(TrainingError, match="--unlabelled needs --init-from"):
        resolve(replace(quick, unlabelled=(bare,)))


def test_a_model_that_does_not_know_a_class_labels_nothing(patches, taught):
    record = PatchSet.open(patches).record
    classes = [{"value": 3, "name": "dark"}, {"value": 1, "name": "car"}]
    other = replace(record, legend=Legend.from_dict({"class": classes}))

    with pytest.raises(TrainingError, match="does not know 'car'; train it on their labels"):
        initial_state(other, resolve(taught))


def test_of_each_class_its_surest_share_becomes_labels():
    scores = torch.tensor([0.85, 0.8, 0.7, 0.65, 0.6, 0.45, 0.4])
    scores = torch.stack([scores, 1 - scores])[None, :, None]  # class 0 in five, 1 in two pixels

    found = surest(scores, torch.ones(1, 1, 7, dtype=torch.bool))

    assert found[0, 0].tolist() == [0, 0, 0, IGNORE, IGNORE, IGNORE, 1]


def test_what_is_sure_becomes_a_label_in_any_case_and_what_has_no_data_never():
    first = torch.tensor([0.99, 0.98, 0.97, 0.96, 0.95, 0.5001])
    valid = torch.tensor([[[True, True, True, True, False, True]]])

    found = surest(torch.stack([first, 1 - first])[None, :, None], valid)

    assert found[0, 0].tolist() == [0, 0, 0, 0, IGNORE, IGNORE]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_a_teacher_uses_averaged_batch_statistics_from_the_first_step_on():
    own = network()
    teacher = Teacher(own.train())
    images = torch.rand(4, 3, 8, 8)

    expected = own.eval()(images).softmax(dim=1)

    assert torch.equal(teacher(images), expected)
    assert torch.equal(teacher.train()(images), expected)


def test_a_teacher_follows_weights_and_batch_statistics():
    own = network()
    teacher = Teacher(own)
    before = own[0].weight.detach().clone()
    with torch.no_grad():
        own[0].weight += 1
    own(torch.rand(4, 3, 8, 8))

    teacher.follow(own)

    torch.testing.assert_close(teacher.network[0].weight, before + 1 - DECAY)
    mean = own[1].running_mean
    torch.testing.assert_close(teacher.network[1].running_mean, (1 - DECAY) * mean)
    assert teacher.network[1].num_batches_tracked == 1
    assert not any(each.requires_grad for each in teacher.parameters())


def test_a_training_teaches_bare_patches_alone_by_a_teacher_in_evaluation_mode(
    patches, tmp_path, taught, monkeypatch
):
    seen = []
    forward = Teacher.forward

    def watched(self, images):
        seen.append((len(images), any(each.training for each in self.modules())))
        return forward(self, images)

    monkeypatch.setattr(Teacher, "forward", watched)
    report = train(patches, tmp_path / "run", options=replace(taught, epochs=1), quiet=True)

    labelled = len(PatchSet.open(patches).in_split("train"))
    assert sum(count for count, _ in seen) == pytest.approx(labelled, abs=4)  # the last batch
    assert not any(training for _, training in seen)
    assert ModelBundle.load(report.model).training["unlabelled_windows"] == 5


def test_the_network_learns_from_the_teacher(patches, tmp_path, taught, monkeypatch):
    """The same draws without the teacher's labels leave other weights."""
    options = replace(taught, epochs=1)
    train(patches, tmp_path / "with", options=options, quiet=True)

    def nothing(scores, _):
        return torch.full_like(scores[:, 0], IGNORE).long()

    monkeypatch.setattr("geoseg.training.task.surest", nothing)
    train(patches, tmp_path / "without", options=options, quiet=True)

    one, other = (weights_of(tmp_path / name) for name in ("with", "without"))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_first_model_is_epoch_0_of_curves_and_stays_where_none_is_better(
    patches, tmp_path, taught
):
    run = tmp_path / "run"
    worse = replace(taught, lr=0.5, optimizer="sgd", epochs=2, early_stopping=1)

    report = train(patches, run, options=worse, quiet=True)

    before = ModelBundle.load(taught.init_from / "model").training["best_epoch"]
    assert report.best["epoch"] == 0
    assert report.best["val_miou"] == pytest.approx(before["val_miou"])
    assert report.epochs == 1
    assert report.stopped_early
    assert "no epoch is better on validation ground" in report.notes[-2]
    (entry,) = read_entries([run])
    assert (entry.epochs_done, entry.best_epoch) == (1, 0)
    assert (run / "curves.png").is_file()


def test_the_last_epoch_is_kept_if_it_is_asked_for(patches, tmp_path, taught):
    run = tmp_path / "run"
    worse = replace(taught, lr=0.5, optimizer="sgd", epochs=1, monitor="last")

    report = train(patches, run, options=worse, quiet=True)

    assert report.best["epoch"] == 1
    assert read_entries([run])[0].best_epoch == 1


def test_resumed_it_is_what_it_would_have_been(patches, tmp_path, taught):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = replace(taught, schedule="constant")
    train(patches, whole, options=replace(options, epochs=2), quiet=True)
    train(patches, parts, options=replace(options, epochs=1), quiet=True)

    train(patches, parts, options=replace(options, epochs=2), resume=True, quiet=True)

    one, other = weights_of(whole), weights_of(parts)
    assert any(name.startswith("teacher.") for name in one)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one.keys() == other.keys()


def test_it_is_not_resumed_with_other_pixels(patches, tmp_path, taught, bare):
    run, path = tmp_path / "run", tmp_path / "own.tif"
    path.write_bytes(bare.read_bytes())
    options = replace(taught, unlabelled=(path,), epochs=1)
    train(patches, run, options=options, quiet=True)
    with rasterio.open(path, "r+") as file:
        file.write(255 - file.read())

    with pytest.raises(TrainingError, match="the orthophotos of --unlabelled differ"):
        train(patches, run, options=replace(options, epochs=2), resume=True, quiet=True)


def test_a_run_of_before_there_was_the_option_goes_on(patches, tmp_path, quick):
    run = tmp_path / "run"
    train(patches, run, options=replace(quick, epochs=1), quiet=True)
    record = json.loads((run / "run.json").read_text())
    del record["options"]["unlabelled"], record["unlabelled"]
    (run / "run.json").write_text(json.dumps(record))

    assert train(patches, run, options=quick, resume=True, quiet=True).epochs == 2


def test_validation_on_ground_that_is_unlabelled_is_told(patches, source, taught, tmp_path):
    both = replace(taught, unlabelled=(*taught.unlabelled, source.ortho))
    validation = len(PatchSet.open(patches).in_split("val"))

    here, _ = prepare(patches, None, options=both)
    elsewhere, _ = prepare(patches, None, options=taught)

    told = f"{validation} of {validation} validation patches lie on ground of --unlabelled"
    assert [each for each in here.warnings if told in each]
    assert not [each for each in elsewhere.warnings if "--unlabelled" in each]


def test_folds_have_it_too(patches, tmp_path, taught):
    options = replace(taught, epochs=1, early_stopping=0)

    report = train_folds(patches, tmp_path / "run", folds=2, options=options, quiet=True)

    assert len(report.runs) == 2
    assert (tmp_path / "run" / "folds.csv").read_text().count("\n") == 5


def test_a_dry_run_counts_the_windows(patches, taught):
    assert estimate_training(patches, None, options=taught).unlabelled_windows == 5


def test_a_preview_shows_windows_without_labels_too(patches, tmp_path, taught, bare):
    folder = replace(taught, unlabelled=bare.parent)

    draw_samples(patches, tmp_path / "seen.png", options=folder)

    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
