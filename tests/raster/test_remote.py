"""Rasters behind a server that fails: one of the test's own, on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import RasterError
from geoseg.raster import configure
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import sliding_windows

SIDE = 256
IMAGE = np.random.default_rng(0).integers(1, 250, (3, SIDE, SIDE)).astype(np.uint8)


class Handler(BaseHTTPRequestHandler):
    """Gives ranges of one file; some requests, once it has given the header, go wrong."""

    protocol_version = "HTTP/1.1"
    content = b""
    fault = "none"
    healthy = 2

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(200, self.content, body=False)

    def do_GET(self):
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last or SIDE**3), len(self.content) - 1)
        part = self.content[first : last + 1]
        type(self).healthy -= 1
        if self.fault == "none" or self.healthy >= 0:
            self.answer(206, part, first)
        elif self.fault == "half":
            self.answer(206, part, first, body=False)
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        else:
            self.answer(int(self.fault), b"")

    def answer(self, status, part, first=0, *, body=True):
        self.send_response(status)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            last = first + len(part) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        self.end_headers()
        if body:
            self.wfile.write(part)


@pytest.fixture
def serve(monkeypatch):
    """A function that serves a file with a fault, and gives the name by which GDAL opens it."""
    monkeypatch.setenv("GDAL_NUM_THREADS", "ALL_CPUS")  # the user's, which gives way
    configure()
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    servers = []

    def start(path, fault):
        known = {"content": path.read_bytes(), "fault": fault}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), known))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"/vsicurl/http://127.0.0.1:{server.server_port}/{path.name}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def vrt_of(name, folder):
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = folder / "remote.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}">'
        f"<GeoTransform>500000, 1, 0, 5700000, 0, -1</GeoTransform>{bands}</VRTDataset>"
    )
    return path


@pytest.mark.parametrize("fault", ["none", "half", "404", "429"])
@pytest.mark.parametrize("compress", [None, "jpeg"])
@pytest.mark.parametrize("behind", ["nothing", "vrt"])
def test_a_remote_raster_is_read_right_or_refused(
    write_raster, serve, tmp_path, fault, compress, behind
):
    """With GDAL's own threads, those of a user's environment, zeros stood for what failed."""
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    local = write_raster("a.tif", IMAGE, compress=compress, **tiles)
    name = serve(local, fault)
    path = vrt_of(name, tmp_path) if behind == "vrt" else Path(name)
    with RasterReader(local) as reader:
        expected = reader.read(reader.grid.window).image

    failures = 0
    with RasterReader(path) as reader:
        for window in sliding_windows(SIDE, SIDE, size=128, stride=128):
            try:
                image = reader.read(window).image
            except RasterError as error:
                assert "cannot be read in Window" in str(error)  # noqa: PT017 some do not fail
                failures += 1
            else:
                assert (image == expected[:, *window.slices]).all()

    assert failures > 0 or fault == "none"
