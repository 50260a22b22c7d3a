"""The Lightning task: one network, one loss, one confusion matrix."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import Normalisation
from geoseg.model.network import spare_narrow_layers
from geoseg.model.pipeline import Normalise
from geoseg.model.segmenter import Segmenter
from geoseg.training.augment import Augmentation, mix
from geoseg.training.distributed import DepthwiseInFloat32, sum_over_processes
from geoseg.training.losses import LossFunction
from geoseg.training.options import LOWEST, TrainOptions
from geoseg.training.schedule import TimeLimit, course, make_optimizer, rise_steps

Batch = tuple[Tensor, Tensor]

Count = Callable[[Segmenter], ConfusionMatrix]
"""Counts confusion on validation ground in its own way, such as on blended maps."""


class SegmentationTask(lightning.LightningModule):
    """Trains a network and sums its validation over windows."""

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
        """Put together what trains.

        Args:
            network: (n, bands, size, size) in, (n, classes, size, size) logits out.
            loss: Of logits and classes.
            normalisation: Of the network's input.
            classes: How many there are.
            options: Of the training.
            counted: (classes,) whether a class counts in mean figures; None: all do.
            limit: The time that the training may take, if it is limited.
            count: Counts confusion on validation ground, if not window by window.
        """
        super().__init__()
        self.network = network
        spare_narrow_layers(network)
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
        """Loss of a batch; what is drawn in it (dropout) depends on seed and step alone."""
        accumulate = self.options.accumulate
        step = self.global_step * accumulate + number % accumulate
        torch.manual_seed(self.options.seed * 1_000_003 + step)
        rng = np.random.default_rng((self.options.seed, step))
        images, targets = mix(batch, self.augmentation, rng)
        with self._on_processors():
            logits = self(images)
        loss = torch.stack([share * self.loss(logits, each) for share, each in targets]).sum()
        self._log("train_loss", loss, len(images))
        return loss * self._share_of_step(number)

    def _on_processors(self) -> ExitStack:
        """What a step needs there and a GPU has; `torch.compile` does not look into it."""
        modes = ExitStack()
        if self.device.type == "cpu" and not self.options.compile:
            modes.enter_context(DepthwiseInFloat32())
        return modes

    def _share_of_step(self, number: int) -> float:
        """What a batch of several to a step counts: the last step of an epoch may have fewer.

        Lightning divides by `--accumulate` in any case.

        Args:
            number: Of the batch in its epoch.
        """
        most = self.options.accumulate
        if most == 1:
            return 1.0
        there = int(self.trainer.num_training_batches) - (number - number % most)
        return most / min(most, there)

    def _log(self, name: str, loss: Tensor, count: int) -> None:
        """Mean over the patches of an epoch, of all processes."""
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
        filled = (~images.isnan()).flatten(1).any(1).sum()  # others may be there to fill up
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
        """Figures of all validation ground together; an undefined mean counts as 0 here."""
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

    def progress(self) -> float:
        """Share of the training that is done, in steps or in time, whichever is more."""
        steps = int(self.trainer.estimated_stepping_batches)
        return max(self.global_step / steps, self.limit.share if self.limit else 0.0)

    def configure_optimizers(self) -> Any:
        """The optimiser and the course of its learning rate."""
        options = self.options
        optimizer = make_optimizer(self.network, options, self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        epoch = steps / options.most_epochs
        rise = rise_steps(options.schedule, steps, warmup=options.warmup, epoch=epoch)
        if options.schedule == "plateau" or (options.schedule == "constant" and not rise):
            return optimizer
        limit = self.limit

        def rate(step: int) -> float:
            at = max(step, limit.share * steps) if limit else step
            return course(options.schedule, at, steps, rise)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
