"""What a file costs beyond the network: predictions and mosaics of very many small ones.

    python benchmarks/many_files.py                              # all
    python benchmarks/many_files.py --contenders predict-1000,mosaic-3000

``predict-N`` is `geoseg predict` of N orthophotos of 256 px with a rule for a network that takes no
time, so that all of the seconds are opening, planning, blending and writing; ``mixed-N`` has
orthophotos of 24 sizes, as `opened` says how often a network would be made ready. ``mosaic-N`` is
`geoseg mosaic` of N class maps of 256 px side by side. Handles are what the process has open at a
time, at most, and were not before (Linux); the peak is resident memory, imports included.
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from math import ceil, sqrt
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from common import CACHE, LEGEND, SAMPLE, WHOLE
from numpy.typing import NDArray

from geoseg.commands.console import Console
from geoseg.commands.predict_batch import PredictBatch
from geoseg.labels.legend_files import load_legend
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.prediction.map_writer import LayerOptions, MapOutputs
from geoseg.prediction.mosaic import mosaic
from geoseg.prediction.plan import PredictOptions

CONTENDERS = ["predict-300", "predict-1000", "mixed-300", "mosaic-300", "mosaic-3000"]
SIDE = 256
FIRST_SIDE, SIDE_STEP, SIDES = 160, 16, 24
"""Sides of the orthophotos of many sizes, in pixels."""

HANDLES = Path("/proc/self/fd")
PAUSE = 0.002
"""Seconds between two counts of the handles."""


def main() -> None:
    """Print the table, or be a contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=CONTENDERS)
    parser.add_argument("--only", help="run this contender here and print what it took")
    wanted = parser.parse_args()
    if wanted.only:
        kind, _, count = wanted.only.partition("-")
        report({"predict": predict, "mixed": predict, "mosaic": join}[kind](kind, int(count)))
        return
    print(f"{'':<14}{'ms/file':>8}{'cpu ms':>8}{'handles':>9}{'peak MB':>9}{'opened':>8}")
    for name in wanted.contenders:
        inputs(name)
        command = [sys.executable, __file__, "--only", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        count = int(name.partition("-")[2])
        wall, processor = 1000 * told["seconds"] / count, 1000 * told["processor"] / count
        print(
            f"{name:<14}{wall:>8.1f}{processor:>8.1f}{told['handles']:>9}{told['peak']:>9.0f}"
            f"{told['opened']:>8}"
        )


def report(work: Callable[[], int]) -> None:
    """Do a contender's work and print what it took, as JSON."""
    with counted_handles() as most:
        start, started = perf_counter(), process_time()
        opened = work()
        seconds, processor = perf_counter() - start, process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / (1024 if sys.platform == "darwin" else 1) / 1024
    figures = {"seconds": seconds, "processor": processor, "handles": most(), "peak": megabytes}
    print(json.dumps(figures | {"opened": opened}))


@contextlib.contextmanager
def counted_handles() -> Iterator[Callable[[], int]]:
    """Count in a thread what the process has open."""
    ended = threading.Event()
    before = most = handles()

    def count() -> None:
        nonlocal most
        while not ended.wait(PAUSE):
            most = max(most, handles())

    thread = threading.Thread(target=count)
    thread.start()
    yield lambda: most - before
    ended.set()
    thread.join()


def handles() -> int:
    """Open files of the process; 0 where the system does not tell."""
    return len([*HANDLES.iterdir()]) if HANDLES.is_dir() else 0


class Rule:
    """A network that takes no time: the class of the brightest band."""

    name, runtime, precision = "rule", "torch", "fp32"
    batch_size = streams = 1

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.notes: list[str] = []

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """1 for one of the first three classes, 0 for all others."""
        scores = np.zeros((len(images), 6, *images.shape[2:]), np.float32)
        best = np.nan_to_num(images).argmax(axis=1)
        np.put_along_axis(scores, best[:, None], np.float32(1), axis=1)
        return scores


class RuleModels:
    """A model that is a rule, and how often it was opened for other windows."""

    training_ground = None

    def __init__(self) -> None:
        self.bundle = ModelBundle(
            arch="unet",
            encoder="resnet18",
            legend=load_legend(str(LEGEND)),
            bands=3,
            band_names=("red", "green", "blue"),
            dtype="uint8",
            value_range=(20.0, 230.0),
            normalisation=Normalisation(mean=(110.0,) * 3, std=(50.0,) * 3),
            patch_size=128,
            gsd=None,
        )
        self.record: dict[str, Any] = {}
        self.folders: list[Path] = []
        self.notes: list[str] = []
        self.running = Rule()
        self.opened = 0
        self._sizes: object = None

    def open(self, *sizes: object) -> Rule:
        """The rule; another size than the last one counts."""
        self.opened += sizes != self._sizes
        self._sizes = sizes
        return self.running


def predict(kind: str, count: int) -> Callable[[], int]:
    """`geoseg predict` of many orthophotos."""
    paths = inputs(f"{kind}-{count}")
    models: Any = RuleModels()

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            PredictBatch(
                paths,
                models,
                PredictOptions(),
                LayerOptions(),
                Path(folder) / "maps",
                windows=None,
                overwrite=False,
                retry_failed=False,
                console=Console(quiet=True),
            ).run(json=False)
        return int(models.opened)

    return work


def join(kind: str, count: int) -> Callable[[], int]:
    """`geoseg mosaic` of many class maps."""
    paths, legend = inputs(f"{kind}-{count}"), load_legend(str(LEGEND))

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            mosaic(paths, MapOutputs(class_map=Path(folder) / "map.tif"), legend=legend)
        return 0

    return work


def inputs(name: str) -> list[Path]:
    """The files of a contender, made if they are not there yet."""
    kind, _, number = name.partition("-")
    count = int(number)
    folder = CACHE / f"many-{kind}-{count}"
    paths = [folder / f"{n:05d}.tif" for n in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    source = SAMPLE / ("reference.tif" if kind == "mosaic" else "ortho.tif")
    with rasterio.open(source) as sample:
        pixels, whole = sample.read(window=WHOLE), sample.profile
    for n, path in enumerate(paths):
        if not path.exists():
            row, col = (SIDE * k for k in divmod(n, ceil(sqrt(count))))
            side = FIRST_SIDE + SIDE_STEP * (n * 7 % SIDES) if kind == "mixed" else SIDE
            rows, cols = (np.arange(k, k + side) % pixels.shape[1] for k in (row, col))
            profile = whole | {"height": side, "width": side, "tiled": False}
            profile |= {"transform": whole["transform"] * Affine.translation(col, row)}
            for key in ("blockxsize", "blockysize"):
                profile.pop(key, None)
            with rasterio.open(path, "w", **profile) as file:
                file.write(pixels[:, rows[:, None], cols])
    return paths


if __name__ == "__main__":
    main()
