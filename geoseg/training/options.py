"""What a user decides about training: the only place of its defaults."""

from dataclasses import dataclass
from typing import Literal

Augment = Literal["none", "flips", "d4"]
Average = Literal["none", "ema", "swa"]
Optimizer = Literal["adam", "adamw", "sgd", "asgd"]
Schedule = Literal["constant", "plateau", "cosine", "one-cycle", "poly"]
Monitor = Literal["loss", "miou"]

EPOCHS = 20
"""Passes over the training patches if neither they nor a time are given."""

UNLIMITED = 10**6
"""Passes that no training reaches: its time ends it."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained."""

    arch: str = "unet"
    """smp's name of the architecture."""

    encoder: str | None = None
    """smp's name of the encoder; None: resnet18, or the one that packaged weights are for."""

    encoder_weights: str = "none"
    """``none``, ``imagenet``, ``package:lite0`` or a file."""

    init_from: str | None = None
    """Folder of a bundle whose weights the network begins with; None: of none."""

    freeze_encoder: int = 0
    """Epochs in which the encoder stays as it is."""

    encoder_lr: float = 1.0
    """Learning rate of the encoder, as a factor of the others'."""

    loss: str = "ce"
    """Names of `losses.LOSSES`, with weights if they are added: ``ce:0.5+dice:0.5``."""

    label_smoothing: float = 0.0
    """Share of the truth that cross-entropy spreads over all classes."""

    class_weights: str = "auto"
    """A rule of `class_weights.balanced`, or a list ``background=0,rock=20``."""

    epochs: int | None = None
    """Passes over the training patches, at most; None: `EPOCHS`, or what the time allows."""

    max_time: float | None = None
    """Seconds of training with its validation, at most; None: no limit."""

    batch_size: int = 10
    """Patches per step."""

    lr: float = 1e-3
    """Learning rate at its highest."""

    optimizer: Optimizer = "adam"
    """adam, adamw and asgd as in torch; sgd with momentum 0.9."""

    weight_decay: float | None = None
    """Of the optimiser; None: torch's own, 0.01 for adamw and 0 for the others."""

    schedule: Schedule = "cosine"
    """Course of the learning rate; see `schedules`."""

    warmup: float | None = None
    """Epochs in which the rate rises; None: 5 % of the training for cosine, 30 % for one-cycle."""

    clip: float | None = None
    """Highest norm of the gradient; None: any."""

    accumulate: int = 1
    """Batches whose gradients make a step."""

    average: Average = "none"
    """The model is the network as it is, a moving average (ema), or the mean of the last
    quarter of the epochs (swa)."""

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

    @property
    def most_epochs(self) -> int:
        """Passes over the training patches, at most."""
        return self.epochs or (EPOCHS if self.max_time is None else UNLIMITED)
