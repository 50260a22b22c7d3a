"""What a user decides about training: the only place of its defaults."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from geoseg.errors import TrainingError
from geoseg.options import (
    decoder_channels_option,
    device_option,
    option,
    parse_count,
    parse_duration,
    parse_rate,
)

Average = Literal["none", "ema"]

Optimizer = Literal["adam", "adamw", "sgd", "asgd"]

Schedule = Literal["constant", "plateau", "cosine", "one-cycle", "poly"]

Monitor = Literal["loss", "miou", "last"]

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

DATA, NETWORK, OPTIMISATION, AUGMENTATION = "Data", "Network", "Optimisation", "Augmentation"
TIME, MACHINE, RECORDS = "Time", "Machine", "Records"
"""Groups of the options."""

LOGGERS = get_args(Logger)


def parse_loggers(text: str) -> tuple[Logger, ...]:
    """Names of loggers.

    >>> parse_loggers("csv,tensorboard")
    ('csv', 'tensorboard')
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if unknown := [name for name in names if name not in LOGGERS]:
        raise ValueError(f"{unknown[0]!r} is unknown; known are {', '.join(LOGGERS)}")
    return cast(tuple[Logger, ...], names)


def parse_weights(text: str) -> tuple[float, ...]:
    """Shares of patch sets, brought to a sum of 1.

    >>> parse_weights("3,1")
    (0.75, 0.25)
    """
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if not weights or not all(0 < each < math.inf for each in weights):
        raise ValueError(f"{text!r} is no list of numbers above 0 such as 0.7,0.3")
    return tuple(each / sum(weights) for each in weights)


def parse_augmentation(text: str) -> str:
    """An augmentation specification that is possible."""
    from geoseg.training.augment import Augmentation

    try:
        Augmentation.parse(text)
    except TrainingError as error:
        raise ValueError(str(error)) from None
    return text


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained."""

    arch: str = option("unet", group=NETWORK, help="Architecture, smp's name.")
    encoder: str | None = option(
        None,
        group=NETWORK,
        shown="that of the packaged weights, else resnet18",
        help="Encoder, smp's name.",
    )
    decoder_channels: str | None = decoder_channels_option(
        NETWORK, shown="full, or that of --init-from"
    )
    encoder_weights: str = option(
        "auto",
        group=NETWORK,
        help="none, imagenet (hub), package:lite0|lite1|lite2, or a file; auto: package:lite0 "
        "where geoseg[pretrained] is installed and no --encoder is named, else none.",
    )
    init_from: Path | None = option(
        None,
        group=NETWORK,
        metavar="MODEL",
        help="Bundle or run to begin with; classes and bands are found by name, others are new.",
    )
    freeze_encoder: int = option(
        0, min=0, group=NETWORK, metavar="N", help="Epochs in which the encoder does not learn."
    )
    encoder_lr: float = option(
        1.0,
        min=1e-9,
        max=1e9,
        group=NETWORK,
        metavar="FACTOR",
        help="Factor on the learning rate of the encoder.",
    )
    loss: str = option(
        "ce:0.5+dice:0.5",
        group=OPTIMISATION,
        help="ce, focal, dice, jaccard, lovasz, tversky, or a sum such as ce:0.5+dice:0.5.",
    )
    label_smoothing: float = option(
        0.0, min=0, max=0.99, group=OPTIMISATION, help="Share of the truth that ce spreads."
    )
    class_weights: str = option(
        "none",
        group=OPTIMISATION,
        help="Of ce and focal: auto (median frequency), inverse (all/own pixels), effective, "
        "none, or background=0,rock=20 (others 1; 0 leaves a class out).",
    )
    epochs: int | None = option(
        None,
        min=1,
        group=TIME,
        shown=f"{EPOCHS}; any number with --max-time",
        help="Most passes over the patches.",
    )
    max_time: float | None = option(
        None,
        group=TIME,
        metavar="10m",
        parse=parse_duration,
        unit="s",
        help="Longest time, validation included; the schedule is fitted to it.",
    )
    batch_size: int | None = option(
        BATCH_SIZE,
        group=OPTIMISATION,
        metavar="N|auto",
        parse=parse_count,
        none="auto",
        help="Patches per step, on all devices together; auto: what fits into memory.",
    )
    lr: float | None = option(
        2e-3,
        group=OPTIMISATION,
        metavar="RATE|auto",
        parse=parse_rate,
        none="auto",
        help="Highest learning rate; auto: found by a range test.",
    )
    optimizer: Optimizer = option(
        "adamw", group=OPTIMISATION, help="Optimiser; sgd has momentum 0.9."
    )
    weight_decay: float | None = option(
        None,
        min=0,
        max=1e9,
        group=OPTIMISATION,
        shown="0.01 for adamw, else 0",
        help="Weight decay of the optimiser.",
    )
    schedule: Schedule = option("cosine", group=OPTIMISATION, help="LR schedule.")
    warmup: float | None = option(
        None,
        min=0,
        max=1e9,
        group=OPTIMISATION,
        metavar="EPOCHS",
        shown="5 % of the training for cosine, 30 % for one-cycle",
        help="Warm-up; with a time that ends before the epochs, that share of it.",
    )
    clip: float | None = option(
        None,
        min=1e-9,
        max=1e9,
        group=OPTIMISATION,
        metavar="NORM",
        help="Highest norm of the gradient.",
    )
    accumulate: int = option(1, min=1, group=OPTIMISATION, help="Batches that make a step.")
    average: Average = option(
        "none", group=OPTIMISATION, help="Keep a moving average of the weights (ema)."
    )
    augment: str = option(
        "light",
        group=AUGMENTATION,
        metavar="NAME[:STRENGTH][,...]",
        parse=parse_augmentation,
        help="Random changes: none, flips, d4 (turns as well), light, strong, or a list of "
        "these and of rotation (degrees), scale:0.8-1.25, shear (degrees), crop:0.5 (of the "
        "side), brightness, contrast, saturation, gamma, noise (shares of a band's range), "
        "blur (pixels), band-dropout, erasing (probabilities), mixup, cutmix (Beta).",
    )
    oversample: str | None = option(
        None,
        group=DATA,
        metavar="rare|CLASS=FACTOR[,...]",
        help="Take patches with rare classes, or with these, more often.",
    )
    weights: tuple[float, ...] | None = option(
        None,
        group=DATA,
        metavar="0.7,0.3",
        parse=parse_weights,
        shown="by their patches",
        help="Shares of several patch sets in what is trained on, in their order.",
    )
    unlabelled: tuple[Path, ...] = option(
        (),
        group=DATA,
        metavar="ORTHO",
        help="Orthophotos without labels, such as those to be mapped: files, folders, quoted globs "
        "or @lists; a moving average of the network labels half of each epoch. Needs --init-from.",
    )
    samples_per_epoch: int | None = option(
        None,
        min=1,
        group=DATA,
        metavar="N",
        shown="all, once each; twice as many with --unlabelled",
        help="Patches of an epoch.",
    )
    jitter: bool | None = option(
        None,
        group=DATA,
        shown="where patches are windows into orthophotos, as only they can",
        help="Move windows off their grid at random.",
    )
    early_stopping: int | None = option(
        None,
        min=0,
        group=TIME,
        shown=f"{PATIENCE}; 0 with --max-time",
        help="Epochs without a better one before stopping; 0: never.",
    )
    validate_stitched: bool = option(
        False, group=DATA, help="Validate on blended maps instead of windows."
    )
    monitor: Monitor = option(
        "miou",
        group=OPTIMISATION,
        help="Validation metric by which an epoch's model is kept; last: that of the last epoch.",
    )
    seed: int = option(
        0, min=0, max=2**31 - 1, group=MACHINE, help="Same input, same seed: same weights on CPU."
    )
    device: str = device_option(MACHINE)
    devices: int = option(
        1, min=1, group=MACHINE, metavar="N", help="Processes that share every batch."
    )
    strategy: Strategy = option(
        "auto", group=MACHINE, help="How several devices share the work; auto: ddp."
    )
    precision: Precision = option(
        "auto", group=MACHINE, help="Arithmetic of the network; auto: the fastest of the hardware."
    )
    compile: bool = option(
        False, group=MACHINE, help="Compile the network first; pays in long trainings."
    )
    loggers: tuple[Logger, ...] = option(
        (),
        group=RECORDS,
        names=("--logger",),
        metavar="NAME[,NAME]",
        parse=parse_loggers,
        help="Loggers besides history.csv: csv, tensorboard, mlflow, wandb.",
    )
    workers: int | None = option(
        None,
        min=0,
        group=MACHINE,
        shown="half the processors, at most 4",
        help="Processes that read patches.",
    )

    def __post_init__(self) -> None:
        if isinstance(self.unlabelled, str | Path):
            object.__setattr__(self, "unlabelled", (self.unlabelled,))

    @property
    def most_epochs(self) -> int:
        """Passes over the training patches, at most."""
        return self.epochs or (EPOCHS if self.max_time is None else UNLIMITED)

    def to_record(self) -> dict[str, Any]:
        """The options by name, for JSON; paths as text."""
        return cast(dict[str, Any], json.loads(json.dumps(asdict(self), default=str)))

    def own_batch_size(self) -> int:
        """Patches per step of one process.

        Raises:
            TrainingError: If the processes cannot share a batch evenly.
        """
        size = self.batch_size or 1
        if size % self.devices:
            raise TrainingError(
                f"--batch-size {size} is shared by --devices {self.devices}: give a multiple"
            )
        return size // self.devices
