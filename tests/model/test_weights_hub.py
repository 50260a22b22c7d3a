import socket
import time

import pytest

from geoseg.model import weights as hub


@pytest.fixture
def server():
    """A port of this machine that answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """No proxy of the machine that tests."""
    monkeypatch.setattr(hub, "getproxies", dict)


def test_a_hub_is_asked_on_its_own_port(server):
    assert hub._reachable(f"http://127.0.0.1:{server}")


def test_a_hub_behind_a_proxy_is_there_if_the_proxy_is(server, monkeypatch):
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": f"127.0.0.1:{server}"})
    monkeypatch.setattr(hub, "proxy_bypass", lambda host: host == "inside")

    assert hub._reachable("https://nowhere.invalid")
    assert hub._host_and_port("https://inside") == ("inside", 443)


def test_all_addresses_together_have_no_more_than_the_time(monkeypatch):
    monkeypatch.setattr(hub, "HUB_TIMEOUT_S", 0.2)
    monkeypatch.setattr(hub, "_try_to_connect", lambda *_: time.sleep(5))
    started = time.monotonic()

    assert not hub._reachable("https://slow.invalid")
    assert time.monotonic() - started < 2
