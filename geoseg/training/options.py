"""What a user decides about training: the only place of its defaults."""

from dataclasses import dataclass
from typing import Literal

Average = Literal["none", "ema"]

Optimizer = Literal["adam", "adamw", "sgd", "asgd"]

Schedule = Literal["constant", "plateau", "cosine", "one-cycle", "poly"]

Monitor = Literal["loss", "miou"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]

Strategy = Literal["auto", "ddp"]

Logger = Literal["csv", "tensorboard", "mlflow", "wandb"]

EPOCHS = 20
"""Passes over the training patches if neither they nor a time are given."""

PATIENCE = 10
"""Epochs without a better one that end a training, if the user does not say."""

BATCH_SIZE = 10
"""Patches per step if the user does not say; with ``auto`` on a CPU, at most."""

LOWEST, HIGHEST = 1e-6, 1.0
"""Learning rates between which a range test looks."""

UNLIMITED = 10**6
"""Passes that no training reaches: its time ends it."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained."""

    arch: str = "unet"
    """smp's name of the architecture."""

    encoder: str | None = None
    """smp's name of the encoder; None: the one that packaged weights are for, else resnet18."""

    encoder_weights: str = "auto"
    """``none``, ``imagenet``, ``package:lite0`` or a file; ``auto``: ``package:lite0`` where it
    is installed and no encoder is named, else ``none``."""

    init_from: str | None = None
    """Folder of a bundle whose weights the network begins with; None: of none."""

    freeze_encoder: int = 0
    """Epochs in which the encoder stays as it is."""

    encoder_lr: float = 1.0
    """Learning rate of the encoder, as a factor of the others'."""

    loss: str = "ce:0.5+dice:0.5"
    """Names of `losses.LOSSES`, with weights if they are added: ``ce:0.5+dice:0.5``."""

    label_smoothing: float = 0.0
    """Share of the truth that cross-entropy spreads over all classes."""

    class_weights: str = "none"
    """A rule of `class_weights.balanced`, or a list ``background=0,rock=20``."""

    epochs: int | None = None
    """Passes over the training patches, at most; None: `EPOCHS`, or what the time allows."""

    max_time: float | None = None
    """Seconds of training with its validation, at most; None: no limit."""

    batch_size: int | None = BATCH_SIZE
    """Patches per step, on all devices together; None: as many as fit into memory."""

    lr: float | None = 2e-3
    """Learning rate at its highest; None: found by a range test."""

    optimizer: Optimizer = "adamw"
    """adam, adamw and asgd as in torch; sgd with momentum 0.9."""

    weight_decay: float | None = None
    """Of the optimiser; None: torch's own, 0.01 for adamw and 0 for the others."""

    schedule: Schedule = "cosine"
    """Course of the learning rate; see `schedules`."""

    warmup: float | None = None
    """Epochs in which the rate rises, or that share of the time if it is over before `epochs`
    are; None: 5 % of the training for cosine, 30 % for one-cycle."""

    clip: float | None = None
    """Highest norm of the gradient; None: any."""

    accumulate: int = 1
    """Batches whose gradients make a step."""

    average: Average = "none"
    """The model is the network as it is, or a moving average of its weights (ema)."""

    augment: str = "light"
    """What is changed in patches at random; as `Augmentation.parse` takes it."""

    oversample: str | None = None
    """``rare``, or classes whose patches are taken more often: ``car=5,road=2``; None: none."""

    samples_per_epoch: int | None = None
    """Patches of an epoch; None: as many as there are."""

    jitter: bool | None = None
    """Whether windows are moved off their lattice at random; None: where pixels stay in the
    orthophotos, as they must for it."""

    early_stopping: int | None = None
    """Stop after so many epochs without a better one; 0: never; None: `PATIENCE`, and never if a
    time is given."""

    validate_stitched: bool = False
    """Whether validation figures are those of blended maps, as in production."""

    monitor: Monitor = "miou"
    """What makes a model the best: lowest validation loss, or highest validation mean IoU."""

    seed: int = 0
    """Same patches, same seed: same weights on the CPU."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    devices: int = 1
    """Processes that train together, each on a device of its own or a share of the CPU."""

    strategy: Strategy = "auto"
    """How several devices share the work; auto: ddp, each on its part of every batch."""

    precision: Precision = "auto"
    """Of the network's arithmetic; auto: the fastest that the hardware has."""

    compile: bool = False
    """Whether torch compiles the network first: worth it in long trainings."""

    loggers: tuple[Logger, ...] = ()
    """Lightning's loggers that are told of every epoch, besides history.csv."""

    workers: int | None = None
    """Processes that read patches; None: half the processors, at most 4."""

    @property
    def most_epochs(self) -> int:
        """Passes over the training patches, at most."""
        return self.epochs or (EPOCHS if self.max_time is None else UNLIMITED)
