"""Which windows and which overlap pay: what a map gains, and what it costs.

    python benchmarks/overlap.py RUN/model ortho.tif --reference truth.tif
    python benchmarks/overlap.py RUN/model ortho.tif --side 2048 --sizes 256,512

Truth about windows is the same network over the whole picture in one piece: there no pixel is
near an edge that is not the picture's own. For every size of window, overlap and taper the table
says how many pixels get another class than there (all, and those within 4 px of where windows
meet), the mean IoU with a reference map if there is one, and the computation: windows x size^2
over the pixels of the picture, and the seconds that the network took.

A picture of 2048 x 4096 px in one piece takes about 8 GB with U-Net/ResNet-18; ``--side`` cuts it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.labels.reference import ReferenceOptions, open_reference
from geoseg.model.bundle import ModelBundle
from geoseg.model.runtime import open_runtime
from geoseg.prediction.blend import WindowGrid, WindowScores, blend
from geoseg.prediction.scores import classify
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window

OVERLAPS = (0, 8, 4, 2)
"""Parts of a window that it shares with the next: none, 1/8, 1/4, 1/2."""

TAPERS = ("flat", "ramp", "hann")
NEAR = 4
MULTIPLE = 32


def main() -> None:
    """Print the table."""
    wanted = arguments()
    bundle = ModelBundle.load(wanted.model)
    with RasterReader(wanted.ortho) as ortho:
        height, width = (
            min(n, wanted.side or n) // MULTIPLE * MULTIPLE
            for n in (ortho.grid.height, ortho.grid.width)
        )
        whole = Window(row_off=0, col_off=0, height=height, width=width)
        image, valid = ortho.read_floats(whole)
        options = ReferenceOptions(attribute=wanted.attribute)
        truth = wanted.reference and open_reference(
            wanted.reference, legend=bundle.legend, grid=ortho.grid, options=options
        ).read(whole)
    ideal = in_one_piece(bundle, image, valid)
    print(f"{wanted.ortho.name}: {height} x {width} px, {bundle.arch}/{bundle.encoder}")
    print(f"in one piece: mIoU {mean_iou(ideal, truth, bundle)}")
    print("| window | overlap | taper | differs | near seams | mIoU | computed | seconds |")
    print("|---:|---:|---|---:|---:|---:|---:|---:|")
    for size in wanted.sizes:
        for part in OVERLAPS:
            stride = size - (size // part if part else 0)
            window_grid = WindowGrid(height, width, size, stride)
            parts, seconds = scored(bundle, image, valid, window_grid)
            cost = window_grid.window_count(whole) * size**2 / (height * width)
            for taper in TAPERS if part else ("flat",):
                classes = blended(parts, window_grid._replace(taper=taper))
                differs = (classes != ideal) & valid
                seams = near_seams(window_grid)
                print(
                    f"| {size} | {f'1/{part}' if part else '0'} | {taper} "
                    f"| {differs.sum() / valid.sum():.3%} "
                    f"| {differs[seams].sum() / max(valid[seams].sum(), 1):.2%} "
                    f"| {mean_iou(classes, truth, bundle)} | {cost:.2f} | {seconds:.1f} |",
                    flush=True,
                )


def arguments() -> argparse.Namespace:
    """What the user wants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("ortho", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--attribute", help="column of a vector reference")
    parser.add_argument("--side", type=int, help="longest side that is used, in pixels")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[256, 512, 1024, 2048],
    )
    return parser.parse_args()


def in_one_piece(bundle: ModelBundle, image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Classes of the whole picture by one pass of the network."""
    import torch

    from geoseg.model.torch_runtime import load_pipeline

    pipeline = load_pipeline(bundle)
    with torch.inference_mode():
        [logits] = pipeline.network(pipeline.entry(torch.from_numpy(image[None]))).numpy()
    return classify(logits, valid)


def scored(
    bundle: ModelBundle, image: np.ndarray, valid: np.ndarray, window_grid: WindowGrid
) -> tuple[list[WindowScores], float]:
    """The windows of a picture, and the seconds that the network took."""
    runtime = open_runtime(bundle, window_size=window_grid.size, precision="fp32")
    parts, seconds = [], 0.0
    for window in window_grid.windows(window_grid.whole):
        inside = window.clip(window_grid.height, window_grid.width) or window
        over = ((0, window.row_stop - inside.row_stop), (0, window.col_stop - inside.col_stop))
        pixels = np.pad(image[:, *inside.slices], ((0, 0), *over), mode="symmetric")
        start = perf_counter()
        [scores] = runtime(pixels[None])
        seconds += perf_counter() - start
        parts.append(WindowScores(window, scores, np.pad(valid[inside.slices], over)))
    return parts, seconds


def blended(parts: list[WindowScores], window_grid: WindowGrid) -> np.ndarray:
    """The class map of windows."""
    classes = np.full((window_grid.height, window_grid.width), IGNORE, np.uint8)
    for cell in blend(copies(parts), window_grid):
        classes[cell.window.slices] = classify(cell.scores, cell.valid)
    return classes


def copies(parts: list[WindowScores]) -> Iterator[WindowScores]:
    """Blending takes arrays over; the next taper needs them as they were."""
    for part in parts:
        yield part._replace(scores=part.scores.copy())


def near_seams(window_grid: WindowGrid) -> np.ndarray:
    """Pixels near the middle of where windows meet."""
    rows, cols = (
        np.isin(np.arange(length), [at for step in steps[1:] for at in around(step)])
        for length, steps in (
            (window_grid.height, window_grid.rows(window_grid.whole)),
            (window_grid.width, window_grid.cols(window_grid.whole)),
        )
    )
    return rows[:, None] | cols[None]


def around(step: object) -> range:
    middle = step.start + step.covered // 2
    return range(middle - NEAR, middle + NEAR)


def mean_iou(classes: np.ndarray, truth: np.ndarray | None, bundle: ModelBundle) -> str:
    """In percent, if there is a reference."""
    if truth is None:
        return "-"
    counted = (truth != IGNORE) & (classes != IGNORE)
    matrix = ConfusionMatrix.count(truth, classes, valid=counted, classes=len(bundle.legend))
    return f"{100 * matrix.mean_iou:.2f}"


if __name__ == "__main__":
    main()
