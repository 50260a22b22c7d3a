"""How much of the network's own rate `geoseg train` reaches, and how it compares with a loop.

    python benchmarks/train.py                                       # U-Net/ResNet-18, 10 x 256 px
    python benchmarks/train.py --arch deeplabv3plus --encoder resnet50 --batch-size 8

One epoch over windows of the benchmarks' town is trained, straight from the large tiled
GeoTIFF (`geoseg tile --index-only`). Beside it run

- raw: forward, loss, backward and step of the same network in the same arithmetic and memory
  layout on batches that are in memory already: the limit;
- plain: what everybody writes, eager float32 on contiguous tensors, a window read and
  converted by the loop itself, Adam and cross-entropy.

Two epochs of the same training tell what one takes without starting up.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from common import CACHE, LEGEND, Run, report, town

from geoseg.labels.legend_files import load_legend
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile

SIDE, PATCH = 4096, 256
CLASSES = 6
CONTENDERS = ("raw", "ours", "plain")
PATCHES = CACHE / "training-patches"


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments()
    if wanted.only:
        work = {"raw": raw, "ours": ours, "plain": plain}[wanted.only](wanted)
        report(lambda _: work(), SIDE)
        return
    prepare()
    names = wanted.contenders
    turns = [[run(name) for name in names] for _ in range(wanted.rounds)]
    rates = {
        name: [wanted.steps * wanted.batch_size / each.seconds for each in own]
        for name, own in zip(names, zip(*turns, strict=True), strict=True)
    }
    print(f"{wanted.arch}/{wanted.encoder}, batches of {wanted.batch_size} x {PATCH} px")
    print(f"{'':<10}{'patches/s':>10}{'of raw':>8}{'peak MB':>9}")
    for name, own in zip(names, zip(*turns, strict=True), strict=True):
        share = median(a / b for a, b in zip(rates[name], rates[names[0]], strict=True))
        peak = median(each.megabytes for each in own)
        print(f"{name:<10}{median(rates[name]):>10.2f}{share:>8.2f}{peak:>9.0f}")


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--steps", type=int, default=12, help="that are timed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=CONTENDERS)
    parser.add_argument("--only", help="run this contender here and print what it took")
    return parser.parse_args()


def run(contender: str) -> Run:
    """Run a contender in a process of its own, with the same arguments."""
    command = [sys.executable, *sys.argv, "--only", contender]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def prepare() -> None:
    """The town, and an index of its windows for training alone."""
    here = town(SIDE)
    source = Source(name="town", ortho=here.ortho, reference=here.reference)
    options = TileOptions(patch_size=PATCH, stride=PATCH, storage="index", val=0)
    tile([source], load_legend(str(LEGEND)), PATCHES, options=options, overwrite=True)


def network(wanted: argparse.Namespace) -> Any:
    """A new network, the same for all."""
    import torch

    from geoseg.model.network import build_network

    torch.manual_seed(0)
    return build_network(
        wanted.arch, wanted.encoder, bands=3, classes=CLASSES, encoder_weights="none"
    )[0]


def raw(wanted: argparse.Namespace) -> Callable[[], None]:
    """Nothing but the steps, as fast as torch makes them here."""
    import torch

    from geoseg.model.torch_runtime import DTYPES, choose_device, choose_precision
    from geoseg.raster.threads import keep_freed_memory

    keep_freed_memory()
    device = choose_device("auto")
    precision = choose_precision("auto", device)
    net = network(wanted).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    shape = (wanted.batch_size, 3, PATCH, PATCH)
    images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, CLASSES, (shape[0], PATCH, PATCH), device=device)

    def step() -> None:
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            logits = net(images)
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()

    def work() -> None:
        for _ in range(wanted.steps):
            step()

    return work


def ours(wanted: argparse.Namespace) -> Callable[[], float]:
    """An epoch of `geoseg train`, reading included; the second one, as it is timed by itself."""
    from geoseg.training.options import TrainOptions
    from geoseg.training.train import train

    def work() -> float:
        started = perf_counter()
        options = TrainOptions(
            arch=wanted.arch,
            encoder=wanted.encoder,
            epochs=2,
            batch_size=wanted.batch_size,
            samples_per_epoch=wanted.steps * wanted.batch_size,
        )
        with tempfile.TemporaryDirectory() as folder:
            train(PATCHES, Path(folder) / "run", options=options, quiet=True)
            rows = (Path(folder) / "run" / "history.csv").read_text().splitlines()
        names, last = rows[0].split(","), rows[-1].split(",")
        return float(last[names.index("seconds")]) / (perf_counter() - started)

    return work


def plain(wanted: argparse.Namespace) -> Callable[[], None]:
    """The loop in a notebook."""
    import rasterio
    import torch
    from rasterio.windows import Window

    here, net = town(SIDE), network(wanted)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)

    def read(corners: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        with rasterio.open(here.ortho) as ortho, rasterio.open(here.reference) as reference:
            windows = [Window(int(col), int(row), PATCH, PATCH) for row, col in corners]
            images = np.stack([ortho.read(window=window) for window in windows])
            masks = np.stack([reference.read(1, window=window) for window in windows])
        target = torch.from_numpy(masks.astype(np.int64) - 1)
        return torch.from_numpy((images.astype(np.float32) - 110) / 50), target

    def step() -> None:
        images, target = read(rng.integers(0, SIDE // PATCH, (wanted.batch_size, 2)) * PATCH)
        loss = torch.nn.functional.cross_entropy(net(images), target, ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()

    def work() -> None:
        for _ in range(wanted.steps):
            step()

    return work


if __name__ == "__main__":
    main()
