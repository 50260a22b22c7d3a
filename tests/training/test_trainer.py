import pytest
from torch._dynamo.exc import TorchDynamoException

from geoseg.errors import TrainingError
from geoseg.training import TrainOptions
from geoseg.training.trainer import explaining


def test_a_network_that_cannot_be_compiled_is_told_in_one_line():
    with (
        pytest.raises(TrainingError, match=r"^--compile: no compiler here: train without it, .*$"),
        explaining(TrainOptions(compile=True)),
    ):
        raise TorchDynamoException("no compiler here\nat length")


def test_what_nobody_foresaw_is_not_explained_away():
    with pytest.raises(RuntimeError, match="out of luck"), explaining(TrainOptions(compile=True)):
        raise RuntimeError("out of luck")
