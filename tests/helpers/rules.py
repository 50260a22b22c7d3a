"""Rules that stand in for networks, and orthophotos for them to be tried on."""

from dataclasses import dataclass

import numpy as np

from geoseg.labels.legend import Legend
from geoseg.model.bundle import ModelBundle

VALUES = np.array([7, 0, 3], np.uint8)
LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": int(value), "name": name} for value, name in zip(VALUES, "abc", strict=True)
        ]
    }
)


def brightest_band(images):
    """The class of a pixel is its brightest band."""
    best = np.nan_to_num(images, nan=0).argmax(axis=1)
    return (best[:, None] == np.arange(3)[:, None, None]).astype(np.float32)


def like_a_network(images):
    """Scores of a pixel that depend on all that its window shows, and on its place in it."""
    filled = np.nan_to_num(images, nan=0) / 255
    place = np.linspace(0, 1, images.shape[-1], dtype=np.float32)
    powers = np.exp(3 * filled + 2 * filled.mean(axis=(2, 3), keepdims=True) * place)
    return powers / powers.sum(axis=1, keepdims=True)


def random_image(height, width, *, holes=0.0, seed=0):
    """Bytes from 1 to 255; 0 in all bands where there is a hole, which may be large."""
    rng = np.random.default_rng(seed + height + width)
    image = rng.integers(1, 256, (3, height, width)).astype(np.uint8)
    image[:, rng.random((height, width)) < holes] = 0
    if holes and height > 20:
        image[:, 9:21, : width // 2] = 0
    image[:, 0, 0] = 9, 8, 7
    return image


@dataclass(frozen=True)
class Rule:
    """A rule that runs as a model does."""

    score: object
    bundle: ModelBundle
    batch_size: int = 1
    streams: int = 1
    name = "rule"
    runtime = "torch"
    precision = "fp32"
    versions = {"rule": "1"}  # noqa: RUF012 never changed
    notes = ()
    views = 1

    @property
    def bundles(self):
        return [self.bundle]

    @property
    def record(self):
        return {"model": "rule", "weights_sha256": self.bundle.weights_sha256}

    @property
    def training_ground(self):
        return self.bundle.training_ground

    def open(self, window_size, network_size, batch_size=None):  # noqa: ARG002 as models do
        return self

    def __call__(self, images):
        return self.score(images)
