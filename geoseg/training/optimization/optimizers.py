"""Optimisers, with a lower rate for the encoder if the user wants one."""

from typing import Any, cast

import torch
from torch import nn

from geoseg.training.options import TrainOptions

MOMENTUM = 0.9
"""Of sgd."""


def make_optimizer(network: nn.Module, options: TrainOptions, lr: float) -> torch.optim.Optimizer:
    """The optimiser of a network; weight decay is torch's own unless the options say it."""
    more: dict[str, Any] = {"lr": lr}
    if options.weight_decay is not None:
        more["weight_decay"] = options.weight_decay
    groups = parameter_groups(network, options, lr)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, **more)
    if options.optimizer == "asgd":
        return torch.optim.ASGD(groups, **more)
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, **more)
    return torch.optim.Adam(groups, **more)


def parameter_groups(network: nn.Module, options: TrainOptions, lr: float) -> list[dict[str, Any]]:
    """All parameters in one group; with a rate of its own the encoder is the second of two."""
    if options.encoder_lr == 1:
        return [{"params": list(network.parameters())}]
    encoder = list(cast("Any", network).encoder.parameters())
    known = set(map(id, encoder))
    return [
        {"params": [each for each in network.parameters() if id(each) not in known]},
        {"params": encoder, "lr": lr * options.encoder_lr},
    ]
