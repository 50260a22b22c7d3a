"""What converted networks take, and how their files are called."""

from dataclasses import dataclass

from geoseg.model.bundle import ModelBundle

IR = "model.xml"
"""A network as OpenVINO reads it; its weights are in ``model.bin`` beside it."""

ONNX = "model.onnx"
"""A network as ONNX Runtime reads it, weights and all."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a converted network takes."""

    window_size: int
    """Side of the windows that are handed in, in pixels."""

    network_size: int | None = None
    """Side to which they are resampled for the network; None: as they are."""

    batch_size: int = 1
    """Windows at a time."""

    @property
    def taken_size(self) -> int:
        """Side of the windows as the network itself sees them, in pixels."""
        return self.network_size or self.window_size

    def images(self, bundle: ModelBundle) -> tuple[int, int, int, int]:
        """The shape of a batch of images."""
        return (self.batch_size, bundle.bands, self.window_size, self.window_size)
