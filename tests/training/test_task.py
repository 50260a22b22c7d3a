import lightning
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from geoseg.model.bundle import Normalisation
from geoseg.training.losses import make_loss
from geoseg.training.options import TrainOptions
from geoseg.training.task import SegmentationTask, warm_cosine

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


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 1000])
def test_the_rate_rises_to_its_highest_and_falls_to_almost_nothing(steps):
    course = [warm_cosine(step, steps) for step in range(steps)]
    top = course.index(max(course))

    assert max(course) == 1
    assert min(course) >= 0
    assert course[0] > 0
    assert course[: top + 1] == sorted(course[: top + 1])
    assert course[top:] == sorted(course[top:], reverse=True)
    if steps >= 20:
        assert course[-1] < 0.03
        assert course[steps // 2] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_steps_beyond_the_plan_do_not_raise_the_rate_again(steps):
    assert warm_cosine(steps + 10, steps) == pytest.approx(0, abs=1e-9)


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_the_optimiser_is_the_one_asked_for(name, kind):
    module = task(nn.Conv2d(3, 3, 1), optimizer=name, lr=0.25, schedule="constant")

    optimizer = module.configure_optimizers()

    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0].get("momentum", 0.9) == 0.9
