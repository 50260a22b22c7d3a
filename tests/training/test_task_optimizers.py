import pytest
import torch
from torch import nn

from geoseg.training.options import TrainOptions
from geoseg.training.task import make_optimizer


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 1)
        self.decoder = nn.Conv2d(4, 2, 1)


@pytest.mark.parametrize(
    ("name", "kind", "decay"),
    [
        ("adam", torch.optim.Adam, 0),
        ("adamw", torch.optim.AdamW, 0.01),
        ("sgd", torch.optim.SGD, 0),
        ("asgd", torch.optim.ASGD, 0),
    ],
)
def test_the_optimiser_is_the_one_asked_for(name, kind, decay):
    plain = make_optimizer(Halves(), TrainOptions(optimizer=name), 0.25)
    other = make_optimizer(Halves(), TrainOptions(optimizer=name, weight_decay=0.3), 1e-3)

    [group] = plain.param_groups
    assert type(plain) is kind
    assert group["lr"] == 0.25
    assert group.get("momentum", 0.9) == 0.9
    assert group["weight_decay"] == decay
    assert other.param_groups[0]["weight_decay"] == 0.3


def test_an_encoder_with_its_own_rate_is_the_second_group_and_nothing_is_lost():
    network = Halves()

    rest, encoder = make_optimizer(network, TrainOptions(encoder_lr=0.2), 0.1).param_groups

    assert (rest["lr"], encoder["lr"]) == pytest.approx((0.1, 0.02))
    assert rest["params"] == list(network.decoder.parameters())
    assert encoder["params"] == list(network.encoder.parameters())
