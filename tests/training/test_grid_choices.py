from dataclasses import dataclass
from typing import Literal

import pytest

from geoseg.training.grid import Choices


@dataclass(frozen=True, kw_only=True)
class Options:
    lr: float | None = 1e-3
    epochs: int = 1
    smoothing: float | None = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"
    encoder: str | None = None
    encoder_weights: str = "none"
    jitter: bool = False
    loggers: tuple[Literal["csv", "wandb"], ...] = ()
    odd: dict[str, str] | None = None


def duration(word):
    seconds = 60 * float(word[:-1]) if word.endswith("m") else float(word)
    if seconds <= 0:
        raise ValueError(f"{word!r} is no time")
    return seconds


@pytest.fixture
def choices():
    bounds = {"epochs": (1, None), "smoothing": (0, 0.99), "encoder": (None, None)}
    return Choices(Options, {"lr": duration}, bounds)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("lr", 1, 1.0),
        ("lr", 1e-4, 1e-4),
        ("lr", "2m", 120.0),
        ("epochs", 3, 3),
        ("epochs", 1, 1),
        ("smoothing", "auto", None),
        ("smoothing", 0.99, 0.99),
        ("optimizer", "sgd", "sgd"),
        ("encoder", "none", None),
        ("encoder", "resnet18", "resnet18"),
        ("encoder_weights", "none", "none"),
        ("jitter", True, True),
        ("loggers", "csv,wandb", ("csv", "wandb")),
        ("loggers", ["csv"], ("csv",)),
    ],
)
def test_values_are_of_the_options_type(choices, name, written, value):
    found = choices.value(name, written)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "written", "reason"),
    [
        ("lr", True, "lr = True: is no number"),
        ("lr", "-1", "lr = '-1': '-1' is no time"),
        ("lr", 0, "lr = 0: '0' is no time"),
        ("epochs", 0, "epochs = 0: is less than 1"),
        ("smoothing", -1e-9, "is less than 0"),
        ("smoothing", 1, "smoothing = 1: is more than 0.99"),
        ("smoothing", float("nan"), "is no finite number"),
        ("smoothing", float("inf"), "is no finite number"),
        ("epochs", 1.5, "epochs = 1.5: is no whole number"),
        ("epochs", "auto", "is no whole number"),
        ("optimizer", "lion", "is none of adam, sgd"),
        ("encoder_weights", 3, "is no word"),
        ("jitter", 1, "is no true or false"),
        ("loggers", ["disk"], "is none of csv, wandb"),
        ("loggers", 3, "is no list"),
        ("odd", {}, "cannot be given"),
    ],
)
def test_what_is_of_another_type_is_refused(choices, name, written, reason):
    with pytest.raises(ValueError, match=reason):
        choices.value(name, written)


def test_names_are_those_of_the_command_line(choices):
    assert choices.name("encoder-weights") == "encoder_weights"


@pytest.mark.parametrize(
    ("name", "hint"), [("optimiser", "did you mean 'optimizer'"), ("zzz", "known are lr, epochs")]
)
def test_what_is_no_option_is_refused(choices, name, hint):
    with pytest.raises(ValueError, match=hint):
        choices.name(name)
