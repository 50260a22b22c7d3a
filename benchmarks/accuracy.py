"""How good a map a given time of training gives: `geoseg train` beside a plain loop.

    python benchmarks/accuracy.py PATCHES --minutes 10 --seeds 3 \
        --ours "" --ours "--encoder-weights none"

Each contender trains on the training patches for the same time, with seeds 0, 1, 2. Its model
then maps the ground of the test split, in blended windows as `geoseg predict` does, and the map
is compared with the reference pixel by pixel.

- plain: what everybody writes: smp's U-Net/ResNet-18, eager float32, Adam 1e-3, cross-entropy,
  no augmentation, batches of 10 patches; they lie in memory before the clock starts, and the
  weights are those of the last step;
- ours: `geoseg train PATCHES RUN --max-time` with what stands after `--ours`; its validation
  counts, reading the patches too.

Printed are the mean IoU, the IoU of each class, and the processor time of the training.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import monotonic

import numpy as np

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.bundle import ModelBundle
from geoseg.model.torch_runtime import TorchSegmenter
from geoseg.patches.patch_set import PatchSet
from geoseg.prediction.patches import stitched_confusion

BATCH = 10


def main() -> None:
    """Print a row for each training, then mean and spread over the seeds."""
    wanted = arguments()
    if wanted.only is not None:
        plain(wanted.patches, wanted.minutes * 60, seed=int(wanted.only), run=wanted.keep)
        return
    patch_set = PatchSet.open(wanted.patches)
    names = patch_set.record.legend.names
    print(f"{'':<44}{'seed':>5}{'CPU s':>7}{'mIoU':>7}", *(f"{name:>10.10}" for name in names))
    contenders = [None] * (not wanted.no_plain) + wanted.ours
    found: dict[str | None, list[list[float]]] = {each: [] for each in contenders}
    for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds):
        for each in contenders:
            before = processor()
            confusion = turn(wanted, each, seed, patch_set)
            figures = [confusion.mean_iou, *confusion.iou]
            found[each].append(figures)
            show(each, f"{seed:>5}{processor() - before:>7.0f}", figures)
    for each, rows in found.items():
        show(each, f"{'mean':>12}", np.mean(rows, axis=0))
        show(each, f"{'spread':>12}", np.std(rows, axis=0, ddof=min(len(rows) - 1, 1)))


def show(contender: str | None, what: str, figures: list[float] | np.ndarray) -> None:
    """A row of the table."""
    name = "plain" if contender is None else "ours " + contender
    print(f"{name:<44}{what}{figures[0]:>7.3f}", *(f"{each:>10.3f}" for each in figures[1:]))
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """What the user wants, or with which seed a process is to be the plain loop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("patches", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--ours", action="append", default=[], metavar="OPTIONS")
    parser.add_argument("--split", default="test", help="val: to choose options without the test")
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the runs")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    return parser.parse_args()


def processor() -> float:
    """Seconds that the trainings so far took of all cores together."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def turn(
    wanted: argparse.Namespace, contender: str | None, seed: int, patch_set: PatchSet
) -> ConfusionMatrix:
    """Train in a process of its own, then count on the test split."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        if wanted.keep is not None:
            name = "plain" if contender is None else f"ours{wanted.ours.index(contender)}"
            run = wanted.keep / f"{patch_set.folder.name}_{name}_{seed}"
        if contender is None:
            own = [str(Path(__file__)), str(wanted.patches), "--only", str(seed)]
            command = [*own, "--minutes", str(wanted.minutes), "--keep", str(run)]
        else:
            own = ["-m", "geoseg", "train", str(wanted.patches), "-o", str(run), "-q"]
            limit = ["--max-time", f"{wanted.minutes}m", "--seed", str(seed), "--overwrite"]
            command = [*own, *limit, *shlex.split(contender)]
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        bundle = ModelBundle.load(run / "model")
        return stitched_confusion(TorchSegmenter(bundle), bundle, patch_set, wanted.split)


def plain(patches: Path, seconds: float, *, seed: int, run: Path) -> None:
    """The loop in a notebook."""
    import torch
    from segmentation_models_pytorch import Unet

    from geoseg.model.network import save_network
    from geoseg.training.options import TrainOptions
    from geoseg.training.start import initial_state, resolve

    patch_set = PatchSet.open(patches)
    bundle = initial_state(patch_set.record, resolve(TrainOptions(encoder="resnet18"))).bundle
    samples = [patch_set.read(patch) for patch in patch_set.in_split("train")]
    mean, std = (
        np.array(each, np.float32)[:, None, None]
        for each in (bundle.normalisation.mean, bundle.normalisation.std)
    )
    images = torch.from_numpy(np.nan_to_num((np.stack([s.image for s in samples]) - mean) / std))
    masks = torch.from_numpy(np.stack([s.mask for s in samples]).astype(np.int64))
    torch.manual_seed(seed)
    network = Unet("resnet18", encoder_weights=None, in_channels=3, classes=len(bundle.legend))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    started = monotonic()
    while monotonic() - started < seconds:
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            loss = torch.nn.functional.cross_entropy(
                network(images[batch]), masks[batch], ignore_index=255
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if monotonic() - started > seconds:
                break
    folder = run / "model"
    folder.mkdir(parents=True, exist_ok=True)
    save_network(network, folder)
    bundle.write_record(folder)


if __name__ == "__main__":
    main()
