"""S3 on this machine, by moto in a process of its own, where rasterio holds Python's lock."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import obstore
from obstore.store import S3Store

SERVE = (
    "import sys; from moto.server import ThreadedMotoServer as Server; "
    "server = Server('127.0.0.1', 0, verbose=False); server.start(); "
    "print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
)


class Bucket:
    """A bucket of its own, and what is in it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        urlopen(Request(f"{endpoint}/{name}", method="PUT")).close()  # noqa: S310

    @property
    def store(self) -> Any:
        """As obstore knows it."""
        return S3Store(self.name, endpoint=self.endpoint, client_options={"allow_http": True})

    @property
    def keys(self) -> list[str]:
        """Of all objects."""
        return sorted(each["path"] for page in obstore.list(self.store) for each in page)

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        obstore.put(self.store, key, content)

    def get(self, key: str) -> bytes:
        """The content of an object."""
        return bytes(obstore.get(self.store, key).bytes())


@contextmanager
def serving_s3() -> Iterator[str]:
    """The URL of a running server."""
    words = [sys.executable, "-W", "ignore", "-c", SERVE]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, **pipes) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)
