import json
import socket
import struct
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from geoseg.errors import InputError
from geoseg.report.inputs import ShowOptions
from geoseg.report.report import Server, serving


@contextmanager
def running(inputs, warn=lambda _: None):
    """Host and port of a server in a thread."""
    with serving(inputs, ShowOptions(), place=("127.0.0.1", 0), threads=1, warn=warn) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address
        finally:
            server.shutdown()
            thread.join()


def ask(place, path, *, method="GET", host="127.0.0.1"):
    connection = HTTPConnection(*place, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", f"{host}:{place[1]}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_page_tiles_and_areas_are_served(files):
    with running([files["map"]]) as place:
        status, headers, page = ask(place, "/")
        _, tile_headers, tile = ask(place, "/tiles/0/map/0/0/0")
        _, _, areas = ask(place, "/areas/0")

    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'"server"' in page
    assert tile_headers["Content-Type"] == "image/png"
    assert np.asarray(Image.open(BytesIO(tile)))[30, [10, 80]].tolist() == [0, 1]
    assert [row["pixels"] for row in json.loads(areas)] == [3000, 3000]


def test_nothing_else_is_there(files):
    paths = [
        "/map.tif",
        "/tiles/1/map/0/0/0",
        "/tiles/0/gone/0/0/0",
        "/tiles/0/map/0/0/1",
        "/tiles/0/map/7/0/0",
        "/tiles/0/map/-1/0/0",
        "/tiles/0/../../etc/passwd",
        "/tiles/0/map/0/0/0/../../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/areas/1",
        "/?x",
    ]
    with running([files["map"]]) as place:
        answers = {path: ask(place, path) for path in paths}

    found = {path: (status, content) for path, (status, _, content) in answers.items()}
    assert found == dict.fromkeys(paths, (404, b"not found"))


def test_only_this_computer_is_served(files):
    with running([files["map"]]) as place:
        assert place[0] == "127.0.0.1"


def test_a_page_elsewhere_cannot_lead_its_name_here(files):
    with running([files["map"]]) as place:
        assert ask(place, "/", host="evil.example")[0] == 403
        assert ask(place, "/", host="localhost")[0] == 200


def test_only_reading_is_possible(files):
    with running([files["map"]]) as place:
        status, headers, content = ask(place, "/", method="HEAD")
        assert (status, content) == (200, b"")
        assert int(headers["Content-Length"]) > 1000
        assert ask(place, "/", method="POST")[0] == 501


def test_a_file_that_is_damaged_is_told_of_and_the_rest_served(files):
    content = files["ortho"].read_bytes()
    files["ortho"].write_bytes(content[: len(content) // 2])
    told = []

    with running([files["map"]], told.append) as place:
        assert ask(place, "/tiles/0/image/0/0/0")[0] == 500
        assert ask(place, "/tiles/0/map/0/0/0")[0] == 200

    assert "ortho.tif" in told[0]


def test_a_port_that_is_taken_is_named(files):
    with (
        running([files["map"]]) as place,
        pytest.raises(InputError, match="--port"),
        serving([files["map"]], ShowOptions(), place=place, threads=1, warn=print),
    ):
        pass


def test_a_browser_that_breaks_off_is_no_news(files, capfd):
    with running([files["map"]]) as place:
        for _ in range(20):
            with socket.create_connection(place) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        status, _, _ = ask(place, "/")

    assert status == 200
    assert capfd.readouterr().err == ""


def test_a_client_that_says_nothing_is_let_go(files, monkeypatch, capfd):
    monkeypatch.setattr("geoseg.report.report._Handler.timeout", 0.05)
    with running([files["map"]]) as place, socket.create_connection(place, timeout=10) as silent:
        assert silent.recv(1) == b""

    assert capfd.readouterr().err == ""


def test_many_clients_may_wait_at_a_time():
    assert Server.request_queue_size >= 100
