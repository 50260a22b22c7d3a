"""The Lightning module, its optimiser and LR schedule, and callbacks that steer a training.

Callbacks: time limit, plateau schedule, encoder unfreezing.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from geoseg.errors import TrainingError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import Normalisation
from geoseg.model.network import protect_narrow_convolutions
from geoseg.model.segmenter import Segmenter
from geoseg.model.torch_runtime import Normalise
from geoseg.training.augment import Augmentation, mix
from geoseg.training.distributed import DepthwiseInFloat32, sum_over_processes
from geoseg.training.losses import LossFunction
from geoseg.training.options import LOWEST, Optimizer, Schedule, TrainOptions
from geoseg.training.unlabelled import Teacher, surest

WARMUP_SHARE = {"cosine": 0.05, "one-cycle": 0.3}
"""Default warm-up, as a share of the training; 0 for other schedules."""

POLY_POWER = 0.9
"""Exponent of the polynomial schedule, DeepLab's."""

ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25e4
"""First and last factor of the one-cycle schedule, torch's defaults."""

SGD_MOMENTUM = 0.9

PLATEAU_FACTOR, PLATEAU_PATIENCE_EPOCHS = 0.2, 4
"""The plateau schedule multiplies the rate by the factor after so many epochs without a better
one."""

VALIDATION_STEP_SHARE = 1 / 3
"""Time of a validation batch as a share of a training step, before any is measured: it has no
backward pass."""


def warmup_steps(schedule: Schedule, steps: float, *, warmup: float | None, epoch: float) -> float:
    """Steps of the warm-up.

    Args:
        schedule: The LR schedule.
        steps: Steps of the whole training.
        warmup: Warm-up in epochs; None for the schedule's default.
        epoch: Steps of an epoch.
    """
    if warmup is None:
        share = WARMUP_SHARE.get(schedule)
        return 0 if share is None else max(round(share * steps), 1)
    return round(warmup * epoch)


def check_warmup(options: TrainOptions) -> None:
    """Refuse a warm-up that does not go with the schedule, or not end within the training."""
    if not options.warmup:
        return
    if options.schedule == "plateau":
        raise TrainingError("--warmup does not go with --schedule plateau")
    if options.epochs is None and options.max_time is not None:
        raise TrainingError("--warmup counts epochs: with --max-time, give --epochs as well")
    if options.warmup >= options.most_epochs:
        raise TrainingError(
            f"--warmup {options.warmup:g}: must be less than the {options.most_epochs} epochs"
        )


def lr_factor(schedule: Schedule, step: float, steps: float, warmup: float) -> float:
    """Factor on the highest learning rate, 0..1.

    A function of the step and not torch's schedulers, because with `--max-time` the step is a share
    of the time.

    Args:
        schedule: The LR schedule; ``plateau`` is constant here, `Plateau` lowers it.
        step: From 0; beyond the last step the factor does not rise again.
        steps: Steps of the whole training.
        warmup: Steps of the warm-up.

    >>> [round(lr_factor("cosine", step, 100, 5), 2) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    >>> [round(lr_factor("poly", step, 100, 0), 2) for step in (0, 50, 100)]
    [1.0, 0.54, 0.0]

    Source: Loshchilov and Hutter 2017, "SGDR" (cosine); Smith and Topin 2018,
    "Super-Convergence" (one-cycle); Chen et al. 2017, "DeepLab" (poly).
    """
    if schedule == "one-cycle":
        return _one_cycle(step, steps, warmup)
    if step < warmup:
        return (step + 1) / warmup if step + 1 < warmup else 1.0
    share = min((step - warmup) / max(steps - warmup, 1), 1)
    return DECAY_CURVES[schedule](share)


DECAY_CURVES: dict[Schedule, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "plateau": lambda _: 1.0,
    "cosine": lambda share: _cosine(1, 0, share),
    "poly": lambda share: (1 - share) ** POLY_POWER,
}
"""Factors by the share of the training after the warm-up, 0..1."""


def _one_cycle(step: float, steps: float, warmup: float) -> float:
    """Half a cosine up, half a cosine down to almost 0, as torch's OneCycleLR."""
    top = max(warmup - 1, 0)
    if step < top:
        return _cosine(ONE_CYCLE_START, 1, step / top)
    return _cosine(1, ONE_CYCLE_END, min((step - top) / max(steps - 1 - top, 1e-9), 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def make_optimizer(network: nn.Module, options: TrainOptions, lr: float) -> torch.optim.Optimizer:
    """The optimiser of a network; without `weight_decay` torch's default applies."""
    more: dict[str, Any] = {"lr": lr}
    if options.weight_decay is not None:
        more["weight_decay"] = options.weight_decay
    if options.optimizer == "sgd":
        more["momentum"] = SGD_MOMENTUM
    return OPTIMIZERS[options.optimizer](parameter_groups(network, options, lr), **more)


OPTIMIZERS: dict[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "asgd": torch.optim.ASGD,
}


def parameter_groups(network: nn.Module, options: TrainOptions, lr: float) -> list[dict[str, Any]]:
    """Parameter groups: one, or decoder and encoder where the encoder has its own rate."""
    if options.encoder_lr == 1:
        return [{"params": list(network.parameters())}]
    encoder = list(cast("Any", network).encoder.parameters())
    known = set(map(id, encoder))
    return [
        {"params": [each for each in network.parameters() if id(each) not in known]},
        {"params": encoder, "lr": lr * options.encoder_lr},
    ]


def schedule_callbacks(
    options: TrainOptions, network: nn.Module, limit: "TimeLimit | None", *, monitor: str | None
) -> list[Callback]:
    """The callbacks that the options ask for, in their order.

    The plateau schedule monitors a metric of the validation; None, without one, takes the training
    loss.
    """
    callbacks: list[Callback] = [] if limit is None else [limit]
    if options.freeze_encoder:
        callbacks.append(FreezeEncoder(network, options.freeze_encoder))
    if options.schedule == "plateau":
        callbacks.append(Plateau(monitor or "train_loss"))
    return callbacks


class TimeLimit(Callback):
    """Ends a training so that it takes a given time, last validation included.

    Time spent before `--resume` counts. Training steps have at least half of the time, even if
    validation then ends late.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.spent = self.validation = 0.0
        self.reached = False
        self._since: float | None = None
        self._shared: float | None = None
        self._validating_since = self._first_step = self._estimated = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.spent + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def share(self) -> float:
        """Share of the time for training steps that has passed, 0..1.

        Several processes take that of the first one at the last step.
        """
        if self._shared is not None:
            return self._shared
        reserved = min(self.validation or self._estimated, self.seconds / 2)
        return min(self.elapsed / max(self.seconds - reserved, 1e-9), 1.0)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Start the clock; a training that is resumed after its end stops at once."""
        self._since = time.monotonic()
        self._end_if_over(trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, __: Any, ___: Any, number: int
    ) -> None:
        """Check the time; the first validation is estimated from the steps before it.

        The very first step is left out: workers start and networks compile in it.
        """
        if number == 0:
            self._first_step = self.elapsed
        else:
            step = (self.elapsed - self._first_step) / number
            self._estimated = VALIDATION_STEP_SHARE * step * sum(trainer.num_val_batches)
        self._end_if_over(trainer)

    def on_validation_start(self, *_: Any) -> None:
        """Start the clock of the validation."""
        self._validating_since = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        """Expect the next one to take as long."""
        self.validation = time.monotonic() - self._validating_since

    def _end_if_over(self, trainer: lightning.Trainer) -> None:
        if trainer.world_size > 1:
            self._shared = None  # for the share of this process
            self._shared = float(trainer.strategy.broadcast(self.share))
        if self.share >= 1:
            self.reached = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"spent": self.elapsed, "validation": self.validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.spent = state_dict["spent"]
        self.validation = state_dict["validation"]


class FreezeEncoder(Callback):
    """Keeps the encoder frozen for some epochs, its batch statistics included."""

    def __init__(self, network: nn.Module, epochs: int) -> None:
        self.encoder: nn.Module = cast("Any", network).encoder
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Freeze or unfreeze."""
        learns = trainer.current_epoch >= self.epochs
        self.encoder.requires_grad_(learns)
        self.encoder.train(learns)


class Plateau(Callback):
    """Lowers the learning rate when epochs bring no improvement.

    Lightning's own handling steps only after the checkpoint of the epoch is written, so that a
    resumed training would miss the step.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self._schedule: ReduceLROnPlateau | None = None
        self._saved: dict[str, Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Take the optimiser and the state of a resumed training."""
        self._schedule = ReduceLROnPlateau(
            trainer.optimizers[0],
            mode="max" if self.monitor == "val_miou" else "min",
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE_EPOCHS,
        )
        if self._saved is not None:
            self._schedule.load_state_dict(self._saved)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Compare the epoch with the best one."""
        metric = trainer.callback_metrics[self.monitor]
        cast("ReduceLROnPlateau", self._schedule).step(float(metric))

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {} if self._schedule is None else {"schedule": self._schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._saved = state_dict.get("schedule")


Batch = tuple[Tensor, Tensor]

Count = Callable[[Segmenter], ConfusionMatrix]
"""Confusion matrix of a segmenter on the validation ground, such as on blended maps."""


class SegmentationTask(lightning.LightningModule):
    """Training steps of a network, and its validation pooled over windows."""

    def __init__(
        self,
        network: nn.Module,
        loss: LossFunction,
        normalisation: Normalisation,
        *,
        classes: int,
        options: TrainOptions,
        counted: Sequence[bool] | None = None,
        limit: TimeLimit | None = None,
        count: Count | None = None,
    ) -> None:
        """Set up the module.

        Args:
            network: (n, bands, size, size) in, (n, classes, size, size) logits out.
            loss: Loss of logits and classes.
            normalisation: Normalisation of the network's input.
            classes: Number of classes.
            options: How it is trained.
            counted: (classes,) whether a class counts in mean metrics; None: all do.
            limit: Time limit of the training.
            count: Counts validation in its own way; None: window by window.
        """
        super().__init__()
        self.network = network
        protect_narrow_convolutions(network)
        self.teacher = Teacher(network) if options.unlabelled else None
        self.normalise = Normalise(normalisation)
        self.loss = loss
        self.classes = classes
        self.options = options
        self.counted = np.array([True] * classes if counted is None else counted)
        self.limit = limit
        self.count = count
        self.augmentation = Augmentation.parse(options.augment)
        self.lr = options.lr or LOWEST
        self.confusion = ConfusionMatrix.zeros(classes)
        self.scores_are_finite = True
        self._not_finite = torch.zeros(())

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file to (n, classes, size, size) logits."""
        logits: Tensor = self.network(self._normalised(images)).float()
        return logits

    def _normalised(self, images: Tensor) -> Tensor:
        normalised: Tensor = self.normalise(images)
        return normalised.contiguous(memory_format=torch.channels_last)

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, bands, size, size) in units of the file to (n, classes, size, size) scores."""
        with self.trainer.precision_plugin.forward_context(), torch.inference_mode():
            logits = self(torch.from_numpy(images).to(self.device))
            scores: NDArray[np.float32] = logits.softmax(dim=1).cpu().numpy()
        return scores

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Loss of a batch; dropout and mixing depend on seed and step alone."""
        accumulate = self.options.accumulate
        step = self.global_step * accumulate + number % accumulate
        torch.manual_seed(self.options.seed * 1_000_003 + step)
        rng = np.random.default_rng((self.options.seed, step))
        # `torch.compile` does not trace through the mode
        on_cpu = self.device.type == "cpu" and not self.options.compile
        with DepthwiseInFloat32() if on_cpu else nullcontext():
            images, targets = mix(self._taught(batch), self.augmentation, rng)
            logits = self(images)
        loss = torch.stack([share * self.loss(logits, each) for share, each in targets]).sum()
        self._log("train_loss", loss, len(images))
        # Lightning divides by `--accumulate`, but the last step of an epoch may have fewer batches
        there = int(self.trainer.num_training_batches) - (number - number % accumulate)
        return loss * (accumulate / min(accumulate, there))

    def _taught(self, batch: Batch) -> Batch:
        """A batch in which patches without any label have the teacher's."""
        images, mask = batch
        bare = (mask == IGNORE).flatten(1).all(dim=1)
        if self.teacher is None or not bare.any():
            return batch
        with torch.no_grad():
            scores = self.teacher(self._normalised(images[bare]))
        mask = mask.clone()
        mask[bare] = surest(scores, ~images[bare].isnan().any(dim=1))
        return images, mask

    def optimizer_step(self, *args: Any, **more: Any) -> None:
        """Make a step, which the teacher follows."""
        super().optimizer_step(*args, **more)
        if self.teacher is not None:
            self.teacher.follow(self.network)

    def _log(self, name: str, loss: Tensor, count: int) -> None:
        """Log the mean over an epoch's patches, of all processes."""
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = ConfusionMatrix.zeros(self.classes)
        self._not_finite = torch.zeros((), device=self.device)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss and confusion of a batch."""
        images, target = batch
        logits = self(images)
        self._not_finite += ~logits.isfinite().all()
        loss = self.loss(logits, target)
        filled = (~images.isnan()).flatten(1).any(1).sum()  # without the empty patches that fill up
        self._log("val_loss", loss, int(sum_over_processes(filled)))
        if self.count is not None:
            return
        reference = target.byte().cpu().numpy()
        self.confusion += ConfusionMatrix.count(
            reference,
            logits.argmax(dim=1).byte().cpu().numpy(),
            valid=reference != IGNORE,
            classes=self.classes,
        )

    def on_validation_epoch_end(self) -> None:
        """Pooled metrics of the validation; an undefined mean is 0 here."""
        bad = self.trainer.strategy.reduce(self._not_finite, reduce_op="sum")
        self.scores_are_finite = not bool(bad)
        if self.count is not None and self.trainer.is_global_zero:
            self.confusion = self.count(self.scores)
        counts = torch.from_numpy(self.confusion.counts).to(self.device)
        counts = self.trainer.strategy.reduce(counts, reduce_op="sum")
        labelled = np.where(self.counted[:, None], counts.cpu().numpy(), 0)  # as in the loss
        self.confusion = ConfusionMatrix(labelled)
        present = self.counted & (self.confusion.support > 0)
        mean_iou = float(self.confusion.iou[present].mean()) if present.any() else 0.0
        self.log("val_miou", mean_iou)

    def configure_optimizers(self) -> Any:
        """Optimiser and LR schedule."""
        options = self.options
        optimizer = make_optimizer(self.network, options, self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        epoch = steps / options.most_epochs
        warmup = warmup_steps(options.schedule, steps, warmup=options.warmup, epoch=epoch)
        if options.schedule == "plateau" or (options.schedule == "constant" and not warmup):
            return optimizer
        limit = self.limit

        def rate(step: int) -> float:
            at = max(step, limit.share * steps) if limit else step
            return lr_factor(options.schedule, at, steps, warmup)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
