"""The Lightning module: network, loss, and the confusion matrix of validation."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import Normalisation
from geoseg.model.network import protect_narrow_convolutions
from geoseg.model.segmenter import Segmenter
from geoseg.model.torch_runtime import Normalise
from geoseg.training.augment import Augmentation, mix
from geoseg.training.distributed import DepthwiseInFloat32, sum_over_processes
from geoseg.training.losses import LossFunction
from geoseg.training.options import LOWEST, TrainOptions
from geoseg.training.schedule import TimeLimit, lr_factor, make_optimizer, warmup_steps

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
        normalised = self.normalise(images).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(normalised).float()
        return logits

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
        images, targets = mix(batch, self.augmentation, rng)
        # `torch.compile` does not trace through the mode
        on_cpu = self.device.type == "cpu" and not self.options.compile
        with DepthwiseInFloat32() if on_cpu else nullcontext():
            logits = self(images)
        loss = torch.stack([share * self.loss(logits, each) for share, each in targets]).sum()
        self._log("train_loss", loss, len(images))
        # Lightning divides by `--accumulate`, but the last step of an epoch may have fewer batches
        there = int(self.trainer.num_training_batches) - (number - number % accumulate)
        return loss * (accumulate / min(accumulate, there))

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
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
