import contextlib
import http.server
import socket
import threading
import time

import huggingface_hub
import pytest
from huggingface_hub import constants

from geoseg.errors import TrainingError
from geoseg.model import weights
from geoseg.model.weights import check_hub


@pytest.fixture
def server():
    """Address on this machine that answers."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture(autouse=True)
def online(monkeypatch, tmp_path):
    """A client that begins anew, with an empty cache and without a proxy."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


def test_a_hub_that_answers_is_asked_for_the_weights(server, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", server)

    check_hub("resnet18")

    assert not constants.HF_HUB_OFFLINE


def test_a_hub_behind_a_proxy_is_there_if_the_proxy_is(server, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://nowhere.invalid")
    monkeypatch.setenv("HTTP_PROXY", server)

    check_hub("resnet18")

    assert not constants.HF_HUB_OFFLINE


def test_without_an_answer_in_time_the_cache_alone_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "HUB_TIMEOUT_S", 0.2)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()

        with pytest.raises(TrainingError, match=r"for resnet18 \(no network\)"):
            check_hub("resnet18")

    assert time.monotonic() - started < 2
    assert constants.HF_HUB_OFFLINE
    (tmp_path / "models--smp-hub--resnet18.imagenet").mkdir()
    check_hub("resnet18")
