import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from geoseg.errors import LegendError, TrainingError
from geoseg.training.options import TrainOptions
from geoseg.training.tuning import make_trainer, translate_errors


def test_a_network_that_cannot_be_compiled_is_told_in_one_line():
    with (
        pytest.raises(TrainingError, match=r"^--compile: no compiler here: train without it, .*$"),
        translate_errors(TrainOptions(compile=True)),
    ):
        raise TorchDynamoException("no compiler here\nat length")


def test_what_a_reading_process_says_is_its_last_line():
    told = "Caught LegendError in DataLoader worker process 0.\nOriginal Traceback: ...\n"

    with (
        pytest.raises(LegendError, match=r"^mask\.tif: value 9 has no class$"),
        translate_errors(TrainOptions()),
    ):
        raise LegendError(told + "geoseg.errors.LegendError: mask.tif: value 9 has no class\n")


def test_so_it_is_where_torch_cannot_raise_it_again():
    """`UnknownCodeError` takes more than a message."""
    told = "Caught UnknownCodeError in DataLoader worker process 0.\nOriginal Traceback: ...\n"

    with (
        pytest.raises(TrainingError, match=r"^mask\.tif: colours without a class: #ff0000$"),
        translate_errors(TrainOptions()),
    ):
        raise RuntimeError(
            f"{told}geoseg.errors.UnknownCodeError: mask.tif: colours without a class: #ff0000\n"
        )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate"),
    ],
)
def test_too_little_memory_is_told_with_the_batch(error):
    with (
        pytest.raises(TrainingError, match="too little memory for --batch-size 10: use a smaller"),
        translate_errors(TrainOptions()),
    ):
        raise error


def test_gradients_are_clipped_and_accumulated_by_the_trainer():
    trainer = make_trainer(TrainOptions(clip=0.5, accumulate=3), torch.device("cpu"), [])

    assert (trainer.gradient_clip_val, trainer.accumulate_grad_batches) == (0.5, 3)


def test_the_code_of_an_end_by_a_signal_is_kept():
    with pytest.raises(SystemExit, match="143"), translate_errors(TrainOptions()):
        raise SystemExit(143)


def test_what_nobody_foresaw_is_not_explained_away():
    with (
        pytest.raises(RuntimeError, match="out of luck"),
        translate_errors(TrainOptions(compile=True)),
    ):
        raise RuntimeError("out of luck")
