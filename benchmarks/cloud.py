"""What it costs `geoseg predict` that the orthophoto is on a server.

    python benchmarks/cloud.py                          # 4096 x 4096, tiles and strips
    python benchmarks/cloud.py --side 2048 --rounds 1   # in a minute

The server is on this machine and answers each request 20 ms late (``--delay``); it counts requests
and bytes. The town is stored in tiles of 512 px and in strips, deflated. `local` is all of
`predict_map` on the file, `remote` on its URL, `staged` on a copy that is made on the way
(``--stage``). The network is that of benchmarks/predict.py, as the processor runs it best; to
load it is not timed. Bytes are those of all requests over those of the file; goals are 1.05 for
them and 1.3 for the time, both of `remote`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import ClassVar
from urllib.request import urlopen

import numpy as np
import rasterio
from common import CACHE, Run, report, run, town
from predict import default_lattice, make_model, models

from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import predict_map
from geoseg.raster.paths import parse_name
from geoseg.raster.staging import staging

LAYOUTS = ("tiles", "strips")

WAYS = ("local", "remote", "staged")

STRIP_ROWS = 16
"""Rows of a strip."""


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments()
    if wanted.only == "server":
        serve(wanted.delay)
        return
    if wanted.only:
        layout, _, way = wanted.only.partition("-")
        report(ours(layout, way, wanted.side, wanted.url), wanted.side)
        return
    make_model()
    print(
        f"{'':<16}{'seconds':>8}{'ratio':>7}{'cpu s':>8}{'peak MB':>9}{'requests':>10}{'bytes':>8}"
    )
    with serving(wanted.delay) as url:
        for layout in wanted.layouts:
            size = stored(layout, wanted.side).stat().st_size
            turns = [
                {way: turn(layout, way, wanted.side, url) for way in wanted.ways}
                for _ in range(wanted.rounds)
            ]
            for way in wanted.ways:
                print_line(f"{layout}, {way}", way, turns, size)
    print("ratio: to 'local' in the same round; bytes: over those of the file")


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4096, help="of the town, in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--delay", type=float, default=0.02, help="of each answer, in seconds")
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--only", help="run this contender here and print what it took")
    parser.add_argument("--url", default="", help="of the contender's server")
    return parser.parse_args()


def print_line(
    name: str, way: str, turns: list[dict[str, tuple[Run, int, int]]], size: int
) -> None:
    """Print the medians of a way to read."""
    own = [turn[way] for turn in turns]
    seconds, processor, peak = (median(each[0][k] for each in own) for k in range(3))
    first = next(iter(turns[0]))
    ratio = median(turn[way][0].seconds / turn[first][0].seconds for turn in turns)
    requests, asked = (median(each[k] for each in own) for k in (1, 2))
    print(
        f"{name:<16}{seconds:>8.2f}{ratio:>7.2f}{processor:>8.2f}{peak:>9.0f}{requests:>10.0f}"
        f"{asked / size:>8.3f}",
        flush=True,
    )


def turn(layout: str, way: str, side: int, url: str) -> tuple[Run, int, int]:
    """What a run took, its requests and their bytes."""
    count(url)
    took = run(__file__, f"{layout}-{way}", side, "--url", url)
    return (took, *count(url))


def stored(layout: str, side: int) -> Path:
    """The town in a layout, written if it is not there yet."""
    tiles = town(side).ortho
    path = CACHE / f"ortho-strips-{side}.tif"
    if layout == "tiles":
        return tiles
    if not path.exists():
        partial_path = path.with_suffix(".partial")
        with rasterio.open(tiles) as source:
            profile = source.profile | {"tiled": False, "blockysize": STRIP_ROWS}
            profile.pop("blockxsize")
            with rasterio.open(partial_path, "w", **profile) as target:
                for row in range(0, side, 512):
                    window = rasterio.windows.Window(0, row, side, min(512, side - row))
                    target.write(source.read(window=window), window=window)
        partial_path.replace(path)
    return path


def ours(layout: str, way: str, side: int, url: str) -> Callable[[int], None]:
    """The whole of `geoseg predict`, after the network is loaded."""
    path = stored(layout, side)
    name = path if way == "local" else parse_name(f"{url}/{path.name}")
    loaded = models("bf16")
    size = default_lattice(side).size
    runtime = loaded.open(size, size)
    runtime(np.zeros((runtime.batch_size, 3, size, size), np.float32))

    def work(_: int) -> None:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            if way == "staged":
                stack.enter_context(staging(Path(folder, "copies")))
            outputs = MapOutputs(class_map=Path(folder) / "map.tif")
            predict_map(name, loaded, outputs, options=PredictOptions())

    return work


class Handler(BaseHTTPRequestHandler):
    """Gives ranges of the files in the cache, each some time after it is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    delay = 0.0
    counts: ClassVar = [0, 0]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without the file."""
        self.give(is_whole=True)

    def do_GET(self) -> None:
        """Answer with a range, or with the counts, which begin anew."""
        if self.path == "/count":
            self.send(200, json.dumps(self.counts).encode(), {})
            self.counts[:] = [0, 0]
        else:
            self.give(is_whole="Range" not in self.headers)

    def give(self, *, is_whole: bool) -> None:
        """Give a file or a range of it."""
        time.sleep(self.delay)
        path = CACHE / Path(self.path).name
        if not path.exists():
            self.send(404, b"", {})
            return
        size = path.stat().st_size
        first, _, last = (
            self.headers.get("Range", f"bytes=0-{size}").partition("=")[2].partition("-")
        )
        start, stop = int(first), min(int(last) + 1, size)
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(stop - start) if self.command == "GET" else b""
        self.counts[0] += 1
        self.counts[1] += len(content)
        headers = {"ETag": f'"{path.stat().st_mtime_ns}"', "Accept-Ranges": "bytes"}
        if not is_whole:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.send(200 if is_whole else 206, content, headers, length=stop - start)

    def send(
        self, status: int, content: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def serve(delay: float) -> None:
    """Be the server, until stdin ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"delay": delay}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


@contextmanager
def serving(delay: float) -> Iterator[str]:
    """The URL of a server of its own process."""
    words = [sys.executable, __file__, "--only", "server", "--delay", str(delay)]
    pipes = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with pipes(words) as server:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.stdin.close()


def count(url: str) -> tuple[int, int]:
    """Requests and bytes since the last call."""
    with urlopen(f"{url}/count") as answer:  # noqa: S310 our own server
        requests, asked = json.load(answer)
    return requests, asked


if __name__ == "__main__":
    main()
