from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from geoseg.model.bundle import Normalisation
from geoseg.training.losses import make_loss
from geoseg.training.options import TrainOptions
from geoseg.training.task import SegmentationTask

AS_IT_IS = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3)


def task(network=None, **options):
    return SegmentationTask(
        network or nn.Identity(),
        make_loss("ce", torch.ones(3)),
        AS_IT_IS,
        classes=3,
        options=TrainOptions(**options),
    )


def validate(module, images, masks, batch_size):
    loader = DataLoader(TensorDataset(images, masks), batch_size=batch_size)
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    [figures] = trainer.validate(module, loader, verbose=False)
    return figures


@pytest.fixture(autouse=True)
def _quiet():
    """Lightning gives advice as warnings."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield


def test_validation_counts_all_windows_together_whatever_the_batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(7, 3, 6, 6, generator=generator)
    masks = torch.randint(3, (7, 6, 6), generator=generator)
    masks[torch.rand(7, 6, 6, generator=generator) < 0.2] = 255
    known = masks != 255
    expected = confusion_matrix(masks[known], logits.argmax(1)[known])
    both = np.diag(expected)

    for batch_size in (1, 3, 7):
        module = task()
        figures = validate(module, logits, masks, batch_size)

        assert (module.confusion.counts == expected).all()
        assert figures["val_miou"] == pytest.approx(
            np.mean(both / (expected.sum(0) + expected.sum(1) - both)), rel=1e-6
        )


def test_a_second_validation_starts_from_nothing():
    module, images = task(), torch.rand(2, 3, 4, 4)
    masks = torch.zeros(2, 4, 4, dtype=torch.int64)

    validate(module, images, masks, 1)
    validate(module, images, masks, 1)

    assert module.confusion.total == 32


def test_a_validation_without_a_label_is_no_nan():
    figures = validate(task(), torch.rand(2, 3, 4, 4), torch.full((2, 4, 4), 255), 1)

    assert figures == {"val_loss": 0, "val_miou": 0}


def test_pixels_without_data_reach_the_network_as_0():
    images = torch.full((1, 3, 2, 2), 7.0)
    images[..., 0] = float("nan")

    assert task()(images)[0, 0].tolist() == [[0, 7], [0, 7]]


def test_a_class_that_is_left_out_does_not_count_in_the_mean():
    logits = functional.one_hot(torch.tensor([[[0, 0, 1, 1]]]), 3).movedim(-1, 1).float()
    masks = torch.tensor([[[0, 1, 1, 1]]])  # IoU 1/2 and 2/3
    module = task()
    module.counted = np.array([False, True, True])

    assert validate(module, logits, masks, 1)["val_miou"] == pytest.approx(2 / 3)


def test_every_batch_of_a_step_draws_other_numbers():
    drawn = []

    class Drawing(nn.Module):
        def forward(self, images):
            drawn.append(torch.rand(1).item())
            return images

    module = task(Drawing(), accumulate=2)
    module.log = lambda *_, **__: None
    module.trainer = SimpleNamespace(num_training_batches=2, global_step=0)
    for number in (0, 1, 0):
        module.training_step((torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2).long()), number)

    assert drawn[0] == drawn[2] != drawn[1]


def test_batches_of_a_step_count_alike_in_the_last_step_too():
    """Lightning divides each by 3; the last step has two."""
    module = task(accumulate=3)
    module.log = lambda *_, **__: None
    module.trainer = SimpleNamespace(num_training_batches=5, global_step=0)
    batch = (torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2).long())

    losses = [module.training_step(batch, number).item() for number in range(5)]

    assert losses[:3] == [losses[0]] * 3
    assert losses[3:] == [pytest.approx(1.5 * losses[0])] * 2


def test_patches_without_data_do_not_weigh_in_the_loss():
    images, masks = torch.rand(3, 3, 4, 4), torch.randint(3, (3, 4, 4))
    images[2], masks[2] = torch.nan, 255

    with_it = validate(task(), images, masks, 2)
    without = validate(task(), images[:2], masks[:2], 2)

    assert with_it["val_loss"] == pytest.approx(without["val_loss"])
