"""What a user decides about training: the only place of its defaults."""

from dataclasses import dataclass
from typing import Literal

Loss = Literal["ce", "dice", "ce+dice"]
ClassWeights = Literal["auto", "inverse", "none"]
Augment = Literal["none", "flips", "d4"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]
Monitor = Literal["loss", "miou"]


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained."""

    arch: str = "unet"
    """smp's name of the architecture."""

    encoder: str | None = None
    """smp's name of the encoder; None: resnet18, or the one that packaged weights are for."""

    encoder_weights: str = "none"
    """``none``, ``imagenet``, ``package:lite0`` or a file."""

    loss: Loss = "ce"
    """Cross-entropy, Dice, or their sum."""

    class_weights: ClassWeights = "auto"
    """Of cross-entropy: median frequency / frequency, all pixels / pixels, or 1."""

    epochs: int = 20
    """Passes over the training patches, at most."""

    batch_size: int = 10
    """Patches per step."""

    lr: float = 1e-3
    """Learning rate at its highest."""

    optimizer: Optimizer = "adam"
    """adam and adamw as in torch; sgd with momentum 0.9."""

    schedule: Schedule = "cosine"
    """The learning rate stays, or falls to 0 along half a cosine after a warm-up."""

    augment: Augment = "d4"
    """Nothing, mirror images, or all eight positions of a square."""

    early_stopping: int = 10
    """Stop after so many epochs without a better one; 0: never."""

    monitor: Monitor = "loss"
    """What makes a model the best: lowest validation loss, or highest validation mean IoU."""

    seed: int = 0
    """Same patches, same seed: same weights on the CPU."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    workers: int | None = None
    """Processes that read patches; None: half the processors, at most 4."""
