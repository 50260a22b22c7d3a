"""What a cluster gains and costs: `python benchmarks/cluster.py MODEL FOLDER [small|large|empty]`.

small: 300 orthophotos of 512 px, with one and two worker processes.
large: one of 12288 px in parts, with one and two workers of one thread each, and without a cluster.
empty: 100,000 tasks that do nothing, as a million orthophotos would make: time, and memory of the
scheduler with the command.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

SMALL, SMALL_PX, LARGE_PX, EMPTY = 300, 512, 12288, 100_000


def write_ortho(path: Path, side: int, seed: int) -> None:
    """An orthophoto of blotches and noise, half a metre per pixel."""
    if path.exists():
        return
    rng = np.random.default_rng(seed)
    place = Affine(0.25, 0, 390_000 + 200 * seed, 0, -0.25, 5_800_000)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32633", "tiled": True}
    profile |= {"height": side, "width": side, "transform": place, "compress": "deflate"}
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, 512):
            coarse = rng.integers(20, 200, (3, 16, -(-side // 32)))
            strip = np.kron(coarse, np.ones((1, 32, 32)))[:, :, :side] + rng.integers(
                0, 50, (3, 512, side)
            )
            file.write(strip.astype(np.uint8), window=rasterio.windows.Window(0, top, side, 512))


def seconds_of(
    model: str, orthos: list[Path], output: Path, *words: str, threads: int | None = None
) -> float:
    """Time of a prediction; of its threads all, or the first ones."""
    bound = [] if threads is None else ["taskset", "-c", f"0-{threads - 1}"]
    command = ["geoseg", "predict", model, *orthos, "-o", output, "--overwrite", "--quiet", *words]
    begun = time.perf_counter()
    subprocess.run([*bound, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def empty() -> None:
    """Tasks that do nothing."""
    from geoseg.cluster.connect import connected
    from geoseg.cluster.jobs import Job
    from geoseg.cluster.pool import Pool

    with connected("local:2") as cluster:
        cluster.wait_for_workers(print)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.perf_counter()
        jobs = (Job(str(number), "operator:not_") for number in range(EMPTY))
        for done, _ in enumerate(Pool(cluster, None).run(jobs), start=1):
            if done % (EMPTY // 10) == 0:
                used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                print(
                    f"{done:,} tasks: {time.perf_counter() - begun:.0f} s, {used / 1024:.0f} MB",
                    flush=True,
                )
        print(f"before: {before / 1024:.0f} MB")


def main() -> None:
    """Run the parts that are named."""
    model, folder, *parts = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not parts or "small" in parts:
        orthos = [folder / f"small{number:03}.tif" for number in range(SMALL)]
        for number, path in enumerate(orthos):
            write_ortho(path, SMALL_PX, number)
        here = seconds_of(model, orthos, folder / "maps", threads=1)
        print(f"{SMALL} of {SMALL_PX} px, one process, one thread: {here:.0f} s", flush=True)
        for workers in (1, 2):
            took = seconds_of(
                model, orthos, folder / "maps", "--cluster", f"local:{workers}", threads=workers
            )
            print(f"  {workers} workers: {took:.0f} s, {here / took:.2f} times as fast", flush=True)
    if not parts or "large" in parts:
        path = folder / "large.tif"
        write_ortho(path, LARGE_PX, 0)
        here = seconds_of(model, [path], folder / "large_map.tif", threads=1)
        print(f"one of {LARGE_PX} px, one process, one thread: {here:.0f} s", flush=True)
        for workers in (1, 2):
            took = seconds_of(
                model,
                [path],
                folder / "large_map.tif",
                "--cluster",
                f"local:{workers}",
                threads=workers,
            )
            print(f"  {workers} workers: {took:.0f} s, {here / took:.2f} times as fast", flush=True)
    if not parts or "empty" in parts:
        empty()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
