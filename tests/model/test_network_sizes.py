import pytest
import torch
from torch import nn

from geoseg.model.network import build_network, find_sizes, nearest_sizes, refusal

SMALL = {"bands": 3, "classes": 2, "encoder_weights": "none"}


class Picky(nn.Module):
    """Takes windows whose side fulfils a rule."""

    def __init__(self, rule, by_values=lambda _: True):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)
        self.rule, self.by_values = rule, by_values

    def forward(self, images):
        side = images.shape[-1]
        if not self.rule(side) or (images.device.type == "cpu" and not self.by_values(side)):
            raise RuntimeError(f"a side of {side}\nis not taken")
        return self.layer(images)


def test_why_a_size_is_refused_is_told_in_one_line_and_the_network_stays_as_it_is():
    network = Picky(lambda side: side % 64 == 0).train()

    assert refusal(network, 3, 64) is None
    assert refusal(network, 3, 96) == refusal(network, 3, 96, weightless=True)
    assert refusal(network, 3, 96) == "a side of 96 is not taken"
    assert network.training
    assert network.layer.weight.device.type == "cpu"


@pytest.mark.parametrize(
    ("rule", "patch_size", "sizes"),
    [
        (lambda _: True, 45, ()),
        (lambda side: side >= 128, 128, ()),
        (lambda side: side == 224, 224, (224,)),
        (lambda side: side % 256 == 0, 256, (256, 512, 768, 1024)),
        (lambda side: side % 224 == 0, 224, (224, 448, 672, 896)),
        (lambda side: side <= 512, 448, (448, 480, 512)),
    ],
)
def test_the_sizes_of_a_network_are_found_by_trying(rule, patch_size, sizes):
    assert find_sizes(Picky(rule), 3, patch_size) == sizes


def test_sizes_that_only_a_real_window_shows_to_be_impossible_are_left_out():
    network = Picky(lambda _: True, by_values=lambda side: side in (64, 128))

    assert find_sizes(network, 3, 64) == (64, 128)


def test_a_network_that_runs_with_weights_alone_takes_what_it_takes_with_them():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.own = nn.Conv2d(3, 2, 1), torch.zeros(1)  # which is no buffer

        def forward(self, images):
            return self.layer(images) + self.own

    assert find_sizes(Plain(), 3, 64) == ()


def test_the_sizes_next_to_one_that_is_refused_are_named():
    assert nearest_sizes(Picky(lambda side: side >= 128), 3, 96) == [128]
    assert nearest_sizes(Picky(lambda side: side % 224 == 0), 3, 300) == [224, 448]
    assert nearest_sizes(Picky(lambda _: False), 3, 96) == []


def test_pan_takes_no_patches_of_less_than_128_px():
    network, _ = build_network("pan", "resnet18", **SMALL)

    assert "too small" in refusal(network, 3, 96)
    assert refusal(network, 3, 128) is None
    assert find_sizes(network, 3, 128) == ()


def test_a_transformer_of_one_size_takes_that_size_only():
    network, _ = build_network("dpt", "tu-vit_tiny_patch16_224", **SMALL)

    assert find_sizes(network, 3, 224) == (224,)
