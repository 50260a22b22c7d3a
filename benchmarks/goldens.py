"""Hashes of everything that geoseg writes: what two versions must agree on, to the byte.

    python benchmarks/goldens.py before.json      # with the older version installed
    python benchmarks/goldens.py after.json --like before.json

Run both on one machine: the weights of a training and scores hang on the processor. Times,
dates and versions of libraries are left out of records before they are hashed. The chain runs on
the sample data with small patches, so that it ends in two minutes; one map is killed and resumed.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"

UNSTABLE = re.compile(
    r'"(seconds|minutes|started|ended|created|duration|geoseg|versions?|torch|python|date|time|'
    r'host|command|samples_per_second|peak_memory|train_seconds)": *("[^"]*"|[0-9.e+-]+|\{[^}]*\})'
)
"""What differs from run to run."""

TRAIN = (
    "--encoder tu-test_resnet --encoder-weights none --epochs 2 --batch-size 4 "
    "--samples-per-epoch 12"
)
LEGEND = "-l legend.toml"
REFERENCE = f"-r reference.tif {LEGEND}"
ORTHO = "ortho.tif"
MODEL = "run/model"

CHAIN = {
    "patches": f"tile {ORTHO} {REFERENCE} -o patches --patch-size 128 --val 0.2 --test 0.2",
    "index": f"tile {ORTHO} {REFERENCE} -o index --patch-size 128 --stride 96 --index-only",
    "check": "check patches -o checked",
    "run": f"train patches -o run {TRAIN}",
    "map": f"predict {MODEL} {ORTHO} -o map.tif --windows windows --scores "
    "--confidence score --runtime torch",
    "mosaic": "mosaic windows -o mosaic.tif",
    "part 1": f"predict {MODEL} {ORTHO} -o part.tif --part 1/2 --runtime torch",
    "part 2": f"predict {MODEL} {ORTHO} -o part.tif --part 2/2 --runtime torch",
    "joined": "mosaic --parts part_part-1-of-2.tif part_part-2-of-2.tif -o joined.tif",
    "bands": f"predict {MODEL} wide.tif -o wide_map.tif --memory 300MB --runtime torch",
    "postprocessed": "postprocess map.tif -o smooth.tif --majority 5 --min-area 20px",
    "legend": "legend reference.tif -o derived.toml",
    "evaluation": f"evaluate map.tif {REFERENCE} -o report --boundary 2px --objects building "
    f"--score-map map_scores.tif --intervals 95 --bootstrap 100 --worst 3 --ortho {ORTHO}",
    "points": "sample-points map.tif -o points.gpkg --points 200",
    "page": f"report map.tif --ortho {ORTHO} -r reference.tif {LEGEND} -o page.html",
    "preview": f"preview {ORTHO} map.tif -o preview.png",
}
"""Steps by name, in order; each is a command line."""

QUIET: dict[str, list[str]] = {"legend": [], "preview": []}
"""What keeps a command quiet, where it is not ``-q``."""


def geoseg(line: str, folder: Path, *, kill_after: float | None = None) -> None:
    """Run a command; kill it after some seconds if asked to."""
    words = [
        sys.executable,
        "-m",
        "geoseg",
        *line.split(),
        *QUIET.get(line.split(maxsplit=1)[0], ["-q"]),
    ]
    root = str(SAMPLE.parent)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": root}
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    told = process.communicate()[0].decode()
    if process.returncode and kill_after is None:
        raise SystemExit(f"geoseg {line}\n{told}")


def stable(path: Path) -> bytes:
    """The bytes of a file, without what differs from run to run."""
    content = path.read_bytes()
    if path.suffix == ".json":  # the order of keys is no fact
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    if path.suffix in {".json", ".html", ".qml"}:
        return UNSTABLE.sub('"\\1": 0', content.decode()).encode()
    if path.name == "history.csv":
        return "\n".join(line.rpartition(",")[0] for line in content.decode().splitlines()).encode()
    return content


def hashes(folder: Path) -> dict[str, str]:
    """Of each file below a folder, by its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(stable(path)).hexdigest()[:16]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in {".ckpt", ".log"}
    }


def widen(folder: Path) -> None:
    """An orthophoto of three samples side by side, which is mapped in bands of columns."""
    import numpy as np
    import rasterio

    with rasterio.open(folder / ORTHO) as sample:
        pixels, profile = sample.read(), sample.profile
    pixels = np.concatenate([pixels] * 3, axis=2)
    with rasterio.open(folder / "wide.tif", "w", **profile | {"width": pixels.shape[2]}) as file:
        file.write(pixels)


def main() -> None:
    """Run the chain and write, or compare, its hashes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--like", type=Path, help="Hashes of another version to compare with.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in (ORTHO, "reference.tif", "legend.toml"):
            shutil.copy(SAMPLE / name, folder)
        widen(folder)
        for step, line in CHAIN.items():
            begun = time.perf_counter()
            geoseg(line, folder)
            print(f"{step}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
        resumed = f"predict {MODEL} wide.tif -o resumed.tif --memory 300MB --runtime torch"
        geoseg(resumed, folder, kill_after=8)
        geoseg(f"{resumed} --resume", folder)
        found = hashes(folder)
    chosen.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} files")
    if chosen.like:
        earlier = json.loads(chosen.like.read_text())
        other = {each for each in {*earlier, *found} if earlier.get(each) != found.get(each)}
        for each in sorted(other):
            print(f"differs: {each}: {earlier.get(each)} before, {found.get(each)} now")
        sys.exit(bool(other))


if __name__ == "__main__":
    main()
