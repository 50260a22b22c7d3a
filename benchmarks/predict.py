"""How near `geoseg predict` comes to the network alone, and how far a naive loop stays behind.

    python benchmarks/predict.py                                    # 4096 x 4096, all
    python benchmarks/predict.py --side 12288 --contenders raw-int8,ours-int8

``raw-X`` is the network alone, on random windows in memory, in as many threads as the runtime
likes: the seconds are those of 16 Mpx of windows, times what the town needs at the default
overlap. ``ours-X`` is all of `predict_map`: reading, network, blending, argmax, pieces,
COG with overviews. ``naive-8`` and ``naive-2`` are the loop that everybody writes, with windows of
512 px that overlap by 1/8 and 1/2: eager float32 in batches of 4, softmax and sums over the
whole map.
Loading and compiling the network are not timed. U-Net/ResNet-18, six classes, untrained: the
arithmetic is the same.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from common import CACHE, LEGEND, SAMPLE, print_race, race, report, town
from rasterio.windows import Window

from geoseg import cli
from geoseg.labels.legend_files import load_legend
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.ensemble import LoadedModels, RuntimeOptions
from geoseg.prediction.blend import WindowGrid, taper
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.plan import WINDOW_SIZES_PX, PredictOptions
from geoseg.prediction.predict import plan_map, predict_map

RUNTIMES = {
    "torch": {"runtime": "torch", "precision": "fp32"},
    "fp32": {"runtime": "openvino", "precision": "fp32"},
    "bf16": {"runtime": "openvino", "precision": "bf16"},
    "int8": {"runtime": "openvino", "precision": "int8"},
    "onnx": {"runtime": "onnxruntime", "precision": "fp32"},
}
CONTENDERS = [
    *(f"{kind}-{name}" for name in ("torch", "fp32", "int8") for kind in ("raw", "ours")),
    "naive-8",
    "naive-2",
]
RAW_PIXELS = 16_000_000
MODEL = CACHE / "model"
PATCHES = CACHE / "patches"


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments()
    if wanted.only == "model":
        write_model()
        return
    if wanted.only:
        kind, _, name = wanted.only.partition("-")
        work = {"raw": raw, "ours": ours, "naive": naive}[kind](name, wanted.side)
        report(lambda _: work(), wanted.side)
        return
    town(wanted.side)
    make_model()
    runs = race(__file__, wanted.contenders, wanted.side, wanted.rounds)
    print_race(runs, beside=wanted.contenders[0], megapixels=wanted.side**2 / 1e6)
    for name in RUNTIMES:
        if {f"raw-{name}", f"ours-{name}"} <= set(runs):
            shares = [
                limit.seconds / own.seconds
                for limit, own in zip(runs[f"raw-{name}"], runs[f"ours-{name}"], strict=True)
            ]
            print(f"ours-{name} reaches {np.median(shares):.2f} of the network alone")


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4096, help="of the town, in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=CONTENDERS)
    parser.add_argument("--only", help="run this contender here and print what it took")
    return parser.parse_args()


def make_model() -> None:
    """See that the bundle is there; in a process of its own, as it takes memory."""
    if not (MODEL / "int8").exists():
        subprocess.run([sys.executable, __file__, "--only", "model"], check=True)


def write_model() -> None:
    """An untrained bundle with an int8 network."""
    import torch

    from geoseg.model.network import build_network, save_network

    torch.manual_seed(0)
    network, _ = build_network("unet", "resnet18", bands=3, classes=6, encoder_weights="none")
    MODEL.mkdir(parents=True, exist_ok=True)
    save_network(network, MODEL)
    ModelBundle(
        arch="unet",
        encoder="resnet18",
        legend=load_legend(str(LEGEND)),
        bands=3,
        band_names=("red", "green", "blue"),
        dtype="uint8",
        value_range=(20.0, 230.0),
        normalisation=Normalisation(mean=(110.0,) * 3, std=(50.0,) * 3),
        patch_size=256,
        gsd=None,
    ).write_record(MODEL)
    ortho, reference = SAMPLE / "ortho.tif", SAMPLE / "reference.tif"
    run("tile", ortho, "-r", reference, "-l", LEGEND, "-o", PATCHES, "--overwrite")
    run("quantize", MODEL, PATCHES, "--force", "--samples", 40)
    for size in WINDOW_SIZES_PX:  # converted once and for all
        for name in ("fp32", "int8"):
            models(name).open(size, size)


def run(*words: object) -> None:
    """A command of geoseg's, in this process."""
    sys.argv = ["geoseg", *map(str, words)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main()


def models(name: str) -> LoadedModels:
    """The model, to be run by some runtime."""
    return LoadedModels([ModelBundle.load(MODEL)], RuntimeOptions(**RUNTIMES[name]))


def default_lattice(side: int) -> WindowGrid:
    """The windows that `geoseg predict` takes for the town unless told otherwise."""
    return plan_map(town(side).ortho, ModelBundle.load(MODEL), PredictOptions()).window_grid


def raw(name: str, side: int) -> Callable[[], float]:
    """The network alone."""
    window_grid = default_lattice(side)
    size = window_grid.size
    runtime = models(name).open(size, size)
    rng = np.random.default_rng(0)
    shape = (runtime.batch_size, 3, size, size)
    batches = [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(4)]
    calls = RAW_PIXELS // size**2 // runtime.batch_size
    runtime(batches[0])

    def work() -> float:
        with ThreadPoolExecutor(runtime.streams) as pool:
            for done in [pool.submit(runtime, batches[call % 4]) for call in range(calls)]:
                done.result()
        return window_grid.window_count(window_grid.whole) / (calls * runtime.batch_size)

    return work


def ours(name: str, side: int) -> Callable[[], None]:
    """The whole of `geoseg predict`, after the network is loaded."""
    loaded = models(name)
    size = default_lattice(side).size
    runtime = loaded.open(size, size)
    runtime(np.zeros((runtime.batch_size, 3, size, size), np.float32))
    ortho = town(side).ortho

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            outputs = MapOutputs(class_map=Path(folder) / "map.tif")
            predict_map(ortho, loaded, outputs, options=PredictOptions())

    return work


def naive(part: str, side: int) -> Callable[[], None]:
    """The loop that everybody writes; it overlaps windows by one part of so many."""
    import torch

    from geoseg.model.network import load_network

    network = load_network(MODEL)
    size = 512  # as most have it
    stride = size - size // int(part)
    bell = taper(size, size - stride).astype(np.float32)
    weights = np.outer(bell, bell)
    window_grid = WindowGrid(side, side, size, stride)
    windows = list(window_grid.windows(window_grid.whole))

    def work() -> None:
        scores = np.zeros((6, side, side), np.float32)
        weight = np.zeros((side, side), np.float32)
        with rasterio.open(town(side).ortho) as ortho, torch.inference_mode():
            for start in range(0, len(windows), 4):
                batch = windows[start : start + 4]
                images = np.stack(
                    [ortho.read(window=Window(w.col_off, w.row_off, size, size)) for w in batch]
                )
                images = (images.astype(np.float32) - 110) / 50
                found = network(torch.from_numpy(images)).softmax(1).numpy()
                for window, own in zip(batch, found, strict=True):
                    scores[:, *window.slices] += own * weights
                    weight[window.slices] += weights
            classes = (scores / weight).argmax(0).astype(np.uint8)
            profile = ortho.profile | {"count": 1, "photometric": None, "interleave": "band"}
        with tempfile.TemporaryDirectory() as folder:
            profile |= {"driver": "GTiff", "compress": "deflate", "predictor": 1}
            profile.pop("photometric")
            with rasterio.open(Path(folder) / "map.tif", "w", **profile) as file:
                file.write(classes, 1)

    return work


if __name__ == "__main__":
    main()
