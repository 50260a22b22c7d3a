"""What trained networks are worth: accuracy, speed, memory and size, in one table.

    python benchmarks/networks.py RUN... --patches PATCHES --split test

RUN is a folder of `geoseg train`; `geoseg quantize` in it adds int8. For equal time, train each for
so many epochs that steps and validation take the same seconds of a core: the table has the rates.

- mIoU: of the blended map of a split's ground, in %;
- patches/s: steps of training, in batches as they were trained, reading not counted;
- fp32, bf16, int8: Mpx/s of the network alone, windows of 1024 px, by the runtime of `predict`;
- MB: peak of a prediction's process in float32; size: of the weights on disk.

Rates are per second of one core, of all threads together: what else the machine does hardly counts.
The best of the rounds counts, as the contenders take turns.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Run, report

from geoseg.model.bundle import WEIGHTS, ModelBundle

KINDS = ("train", "fp32", "bf16", "int8")
WINDOW, WINDOWS, STEPS = 1024, 4, 4


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments()
    if wanted.only is not None:
        bundle = ModelBundle.load(wanted.runs[0] / "model")
        work = train(bundle) if wanted.only == "train" else predict(bundle, wanted.only)
        report(lambda _: work(), WINDOW)
        return
    found: dict[tuple[Path, str], list[Run]] = {}
    for _ in range(wanted.rounds):
        for folder in wanted.runs:
            for kind in wanted.kinds:
                if kind != "int8" or (folder / "model" / "int8").is_dir():
                    found.setdefault((folder, kind), []).append(measured(folder, kind))
    print(f"{'':<28}{'mIoU':>6}", *(f"{head:>8}" for head in (*wanted.kinds, "MB", "size MB")))
    for folder in wanted.runs:
        cells = [row_cell(found.get((folder, kind), []), kind) for kind in wanted.kinds]
        peak = max((each.megabytes for each in found.get((folder, "fp32"), [])), default=0)
        size = (folder / "model" / WEIGHTS).stat().st_size / 1e6
        accuracy = "" if wanted.patches is None else f"{mean_iou(folder, wanted):.1f}"
        print(f"{folder.name:<28}{accuracy:>6}", *cells, f"{peak:>8.0f} {size:>8.1f}", flush=True)


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--patches", type=Path, help="whose ground gives the accuracy")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=KINDS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(folder: Path, kind: str) -> Run:
    """Run a contender in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--only", kind]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def row_cell(runs: list[Run], kind: str) -> str:
    """Patches or megapixels per second of a core."""
    if not runs:
        return f"{'-':>8}"
    amount = STEPS if kind == "train" else WINDOWS * WINDOW**2 / 1e6
    return f"{amount / min(each.processor for each in runs):>8.2f}"


def mean_iou(folder: Path, wanted: argparse.Namespace) -> float:
    """Of the blended map of a split, in %."""
    from geoseg.model.torch_runtime import TorchSegmenter
    from geoseg.patches.patch_set import PatchSet
    from geoseg.prediction.patches import stitched_confusion

    bundle, patch_set = ModelBundle.load(folder / "model"), PatchSet.open(wanted.patches)
    confusion = stitched_confusion(TorchSegmenter(bundle), bundle, patch_set, wanted.split)
    return 100 * confusion.mean_iou


def train(bundle: ModelBundle) -> Callable[[], float]:
    """Steps of the network as a training makes them; a patch's share of the time counts."""
    import torch

    from geoseg.model.network import load_network
    from geoseg.model.torch_runtime import DTYPES, choose_precision
    from geoseg.training.distributed import DepthwiseInFloat32

    precision = choose_precision("auto", torch.device("cpu"))
    network = load_network(Path(str(bundle.folder))).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-9)
    batch = bundle.training["options"]["batch_size"]
    shape = (batch, bundle.bands, bundle.patch_size, bundle.patch_size)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, len(bundle.legend), (batch, *shape[2:]))

    def step() -> None:
        amp = torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32")
        with amp, DepthwiseInFloat32():
            logits = network(images)
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()

    def work() -> float:
        for _ in range(STEPS):
            step()
        return 1 / batch

    return work


def predict(bundle: ModelBundle, precision: str) -> Callable[[], None]:
    """The network alone on windows in memory, as `predict` runs it."""
    from geoseg.model.ensemble import LoadedModels, RuntimeOptions

    runtime = LoadedModels([bundle], RuntimeOptions(precision=precision)).open(WINDOW, WINDOW, 1)
    shape = (1, bundle.bands, WINDOW, WINDOW)
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    runtime(images)

    def work() -> None:
        for _ in range(WINDOWS):
            runtime(images)

    return work


if __name__ == "__main__":
    main()
