"""Whatever interrupts a prediction: it goes on, and nobody can tell from the map."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from rules import brightest_band, like_a_network, random_image

from geoseg.errors import BundleError, OutputExistsError, PartlyReadError

KILLS = 12

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

LAUNCHER = """
import os, sys
from contextlib import suppress
from pathlib import Path
from rules import LEGEND, Rule, like_a_network
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import predict_map
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.prediction.map_writer import MapOutputs

folder = Path(sys.argv[1])
bundle = ModelBundle(
    arch="rule", encoder="none", legend=LEGEND, bands=3, band_names=("r", "g", "b"),
    dtype="uint8", value_range=(1, 255), normalisation=Normalisation(mean=(0,) * 3, std=(1,) * 3),
    patch_size=64, gsd=0.5, folder=folder / "model",
)
outputs = MapOutputs(class_map=folder / "map.tif", scores=folder / "scores.tif")
options = PredictOptions(patch_size=64, resume=True, memory=1)
for _ in sys.stdin:  # a process for each line; to import all this takes longer than the map
    child = os.fork()
    if child == 0:
        predict_map(folder / "ortho.tif", Rule(like_a_network, bundle), outputs, options=options)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def failing():
    """A function that gives a model which breaks down after some windows."""

    def make(after):
        calls = []

        def score(images):
            calls.append(len(images))
            if len(calls) > after:
                raise BundleError("the model is tired")
            return like_a_network(images)

        score.calls = calls
        return score

    return make


@pytest.fixture
def tall(write_raster):
    """Three chunks of a map, one above the other."""
    return write_raster("ortho.tif", random_image(1300, 24, holes=0.1), nodata=0)


def counting(calls):
    def score(images):
        calls.append(len(images))
        return like_a_network(images)

    return score


def test_what_is_finished_is_not_predicted_again(predict, tall, failing, tmp_path):
    whole = predict(tall, like_a_network, more={"class_map": tmp_path / "whole.tif"}).path
    with pytest.raises(BundleError, match="tired; finished parts are kept; continue with --resume"):
        predict(tall, failing(after=600))
    assert not (tmp_path / "out/map.tif").exists()

    calls = []
    resumed = predict(tall, counting(calls), resume=True).path

    assert resumed.read_bytes() == whole.read_bytes()
    assert len(calls) < 4 * 217 - 512 // 6 * 4 + 8
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "map.qml",
        "map.tif",
        "map.tif.aux.xml",
    ]


def test_an_unfinished_map_is_neither_lost_nor_gone_on_with_unasked(predict, tall, failing):
    with pytest.raises(BundleError):
        predict(tall, failing(after=600))

    with pytest.raises(OutputExistsError, match="--resume, or start over with --overwrite"):
        predict(tall, like_a_network)
    with pytest.raises(OutputExistsError, match="started with another model, options or source"):
        predict(tall, like_a_network, stride=7, resume=True)
    calls = []
    predict(tall, counting(calls), more={"overwrite": True})

    assert len(calls) > 600 + 200


def test_a_finished_map_of_the_same_is_left_alone(predict, tall):
    once = predict(tall, like_a_network)
    before = once.path.stat().st_mtime_ns
    calls = []

    again = predict(tall, counting(calls), resume=True)

    assert again == once
    assert (calls, again.path.stat().st_mtime_ns) == ([], before)
    with pytest.raises(OutputExistsError):
        predict(tall, counting(calls), stride=7, resume=True)
    assert calls == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"confidence_kind": "margin"}, {"confidence_kind": "entropy"}),
        ({"score_type": "float32"}, {"score_type": "uint8"}),
        ({}, {}),
    ],
)
def test_layers_of_another_kind_or_map_are_not_taken_for_finished_ones(
    predict, tall, tmp_path, before, now
):
    layers = {"scores": tmp_path / "out/s.tif", "confidence": tmp_path / "out/c.tif"}
    predict(tall, like_a_network, more=layers | before, stride=5 if not now else 6)
    predict(tall, like_a_network, more={"overwrite": True})

    if now:
        predict(tall, like_a_network, more=layers | before, resume=True)
    with pytest.raises(OutputExistsError):
        predict(tall, like_a_network, more=layers | now, resume=True)


def test_sidecars_that_are_gone_are_written_again(predict, tall, tmp_path):
    once = predict(tall, like_a_network)
    gone = [tmp_path / "out/map.qml", tmp_path / "out/map.tif.aux.xml"]
    before = [path.read_bytes() for path in gone]
    for path in gone:
        path.unlink()

    again = predict(tall, like_a_network, resume=True)

    assert [path.read_bytes() for path in gone] == before
    assert list(again.class_pixels.items()) == list(once.class_pixels.items())


def test_where_windows_are_kept_too_the_way_on_is_without_them(predict, tall, failing, tmp_path):
    size = {"patch_size": 64, "stride": 56}
    with pytest.raises(BundleError, match="of the map are kept; without --windows, continue with"):
        predict(tall, failing(after=15), windows=tmp_path / "windows", **size)

    assert not (tmp_path / "windows").exists()
    calls = []
    predict(tall, counting(calls), resume=True, **size)
    assert len(calls) < 20


def test_a_changed_source_is_not_gone_on_with(predict, tall, failing, write_raster):
    with pytest.raises(BundleError):
        predict(tall, failing(after=600))
    write_raster("ortho.tif", random_image(1300, 24, seed=1))

    with pytest.raises(OutputExistsError, match="started with another"):
        predict(tall, like_a_network, resume=True)


def test_more_or_less_memory_does_not_matter_to_what_was_begun(
    predict, write_raster, failing, tmp_path
):
    wide = write_raster("wide.tif", random_image(600, 1200))
    size = {"patch_size": 40, "stride": 35}
    whole = predict(wide, like_a_network, **size, more={"class_map": tmp_path / "whole.tif"})
    with pytest.raises(BundleError, match="--resume"):
        predict(wide, failing(after=17 * 17), **size, memory=1)

    resumed = predict(wide, like_a_network, **size, memory=10**9, resume=True)

    assert resumed.path.read_bytes() == whole.path.read_bytes()


@pytest.fixture
def corrupt(write_raster):
    """Tiles of 256 px; one of them cannot be read."""
    image = random_image(700, 300)
    profile = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    ortho = write_raster("ortho.tif", image, interleave="pixel", **profile)
    content = bytearray(ortho.read_bytes())
    start = len(content) // 6 * 3
    content[start : start + 2000] = bytes(2000)
    ortho.write_bytes(content)
    return ortho, image


def test_a_corrupt_block_stops_with_its_window_or_is_nodata_and_counted(
    predict, corrupt, tmp_path, read
):
    ortho, image = corrupt

    with pytest.raises(Exception, match=r"ortho.tif: cannot be read in Window\(row_off="):
        predict(ortho, patch_size=64)
    with pytest.raises(PartlyReadError, match=r"map.tif: written, but \d+ px could not be read"):
        predict(ortho, patch_size=64, on_error="nodata", more={"overwrite": True})

    [classes] = read(tmp_path / "out/map.tif")
    lost = classes == 255
    assert 0 < lost.sum() <= 2 * 256 * 256
    values = (7, 0, 3)
    assert (classes[~lost] == [values[n] for n in image.argmax(axis=0)[~lost]]).all()


def test_what_could_not_be_read_before_an_interruption_is_still_told_after_it(
    predict, corrupt, failing
):
    ortho, _ = corrupt
    with pytest.raises(BundleError):
        predict(ortho, failing(after=30), patch_size=64, stride=64, on_error="nodata")

    for _ in range(2):  # when it goes on, and when it is found finished
        with pytest.raises(PartlyReadError, match="could not be read"):
            predict(ortho, brightest_band, patch_size=64, stride=64, on_error="nodata", resume=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork of Unix")
def test_a_prediction_killed_at_any_moment_goes_on_to_the_same_bytes(write_raster, tmp_path):
    image = random_image(1100, 600, holes=0.1)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"of no matter")
    ortho = write_raster("ortho.tif", image, nodata=0, tiled=True, compress="deflate")
    helpers = next(path for path in sys.path if path.endswith("tests/helpers"))
    code = f"import sys; sys.path.append({helpers!r}); {LAUNCHER}"
    launcher = subprocess.Popen([sys.executable, "-c", code, tmp_path], text=True, **PIPES)
    finals = ("map.tif", "scores.tif")

    def start():
        launcher.stdin.write("go\n")
        launcher.stdin.flush()
        return int(launcher.stdout.readline())

    def ends_well():
        return int(launcher.stdout.readline()) == 0

    start()
    on_start = time.perf_counter()
    assert ends_well()
    takes = time.perf_counter() - on_start
    whole = [(tmp_path / name).read_bytes() for name in finals]
    draw = random.Random(0)  # noqa: S311 no secret
    for name in finals:
        (tmp_path / name).unlink()

    killed = 0
    for _ in range(KILLS):
        child = start()
        time.sleep(draw.random() * takes / 2)
        with suppress(ProcessLookupError):  # it may have ended on its own by then, and counts so
            os.kill(child, signal.SIGKILL)
        survived = ends_well()
        killed += not survived
        for name, content in zip(finals, whole, strict=True):
            path = tmp_path / name
            assert path.exists() or not survived
            assert not path.exists() or path.read_bytes() == content
            if survived:
                path.unlink()  # the next one begins anew
    start()
    assert ends_well()
    launcher.communicate()

    assert killed > KILLS / 4
    assert [(tmp_path / name).read_bytes() for name in finals] == whole
    assert list(tmp_path.glob(".*")) == []
    assert ortho.exists()
