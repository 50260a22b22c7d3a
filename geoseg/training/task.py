"""The Lightning task: one network, one loss, one confusion matrix."""

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.scores import IGNORE
from geoseg.model.bundle import Normalisation
from geoseg.model.pipeline import Normalise
from geoseg.training.losses import LossFunction
from geoseg.training.options import TrainOptions

WARM_UP = 0.05
"""Share of all steps in which the learning rate of the cosine schedule rises."""

MOMENTUM = 0.9

Batch = tuple[Tensor, Tensor]


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
    ) -> None:
        super().__init__()
        self.network = network
        self.normalise = Normalise(normalisation)
        self.loss = loss
        self.classes = classes
        self.options = options
        self.confusion = ConfusionMatrix.zeros(classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file to (n, classes, size, size) logits."""
        normalised = self.normalise(images).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(normalised).float()
        return logits

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of a batch; what is drawn in it (dropout) depends on seed and step alone."""
        torch.manual_seed(self.options.seed * 1_000_003 + self.global_step)
        images, target = batch
        loss = self.loss(self(images), target)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = ConfusionMatrix.zeros(self.classes)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss and confusion of a batch."""
        images, target = batch
        logits = self(images)
        loss = self.loss(logits, target)
        self.log("val_loss", loss, on_epoch=True, batch_size=len(images))
        reference = target.byte().cpu().numpy()
        self.confusion += ConfusionMatrix.count(
            reference,
            logits.argmax(dim=1).byte().cpu().numpy(),
            valid=reference != IGNORE,
            classes=self.classes,
        )

    def on_validation_epoch_end(self) -> None:
        """Figures of all validation windows together; an undefined mean counts as 0 here."""
        mean_iou = self.confusion.mean_iou
        self.log("val_miou", 0.0 if math.isnan(mean_iou) else mean_iou)

    def configure_optimizers(self) -> Any:
        """The optimiser and the course of its learning rate."""
        options = self.options
        parameters = self.network.parameters()
        optimizer: torch.optim.Optimizer
        if options.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, options.lr, momentum=MOMENTUM)
        elif options.optimizer == "adamw":
            optimizer = torch.optim.AdamW(parameters, options.lr)
        else:
            optimizer = torch.optim.Adam(parameters, options.lr)
        if options.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_cosine(step, steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def warm_cosine(step: int, steps: int) -> float:
    """Share of the highest learning rate: a short rise, then half a cosine down to 0.

    >>> [round(warm_cosine(step, 100), 2) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    """
    rise = max(round(WARM_UP * steps), 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1)))
