from dataclasses import dataclass
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from geoseg.cli import COMMANDS
from geoseg.cli import app as cli
from geoseg.commands.arguments import Choices, with_options
from geoseg.evaluation.evaluation import EvaluateOptions
from geoseg.evaluation.sampling import SamplingOptions
from geoseg.labels.reference import PolygonOptions
from geoseg.labels.style import BandOptions
from geoseg.model.ensemble import RuntimeOptions
from geoseg.model.quantize import QuantizeOptions
from geoseg.options import option, parse_duration
from geoseg.patches.findings import CheckOptions
from geoseg.patches.record import TileOptions
from geoseg.postprocess.options import PostprocessOptions
from geoseg.prediction.map_writer import LayerOptions
from geoseg.prediction.mosaic import MosaicOptions
from geoseg.prediction.plan import PredictOptions
from geoseg.report.preview import PreviewOptions
from geoseg.report.report import PageOptions, ReportOptions
from geoseg.training.options import TrainOptions


def parse_loggers(text):
    names = tuple(text.split(","))
    if not {*names} <= {"csv", "wandb"}:
        raise ValueError(f"{text!r} is none of csv, wandb")
    return names


def named(default, **more):
    return option(default, group="Group", help="Help.", **more)


@dataclass(frozen=True, kw_only=True)
class Options:
    lr: float | None = named(1e-3, min=0, max=10, none="auto", parse=float)
    time: float | None = named(None, parse=parse_duration, unit="s")
    epochs: int = named(1, min=1)
    smoothing: float | None = named(None, min=0, max=0.99)
    optimizer: Literal["adam", "sgd"] = named("adam")
    encoder: str | None = named(None)
    encoder_weights: str = named("none")
    compile: bool = named(False)
    jitter: bool | None = named(None)
    loggers: tuple[str, ...] = named((), names=("--logger",), parse=parse_loggers)


@pytest.fixture
def choices():
    return Choices(Options)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("lr", 1, 1.0),
        ("lr", 1e-4, 1e-4),
        ("lr", "auto", None),
        ("time", "2m", 120.0),
        ("epochs", 3, 3),
        ("epochs", 1, 1),
        ("smoothing", "auto", None),
        ("smoothing", 0.99, 0.99),
        ("optimizer", "sgd", "sgd"),
        ("encoder", "none", None),
        ("encoder", "resnet18", "resnet18"),
        ("encoder_weights", "none", "none"),
        ("jitter", True, True),
        ("jitter", False, False),
        ("compile", True, True),
        ("compile", False, False),
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
        ("lr", True, "lr = True: could not convert"),
        ("time", "-1", "time = '-1': '-1' is no time"),
        ("time", 5, "time = 5: '5' has no unit"),
        ("epochs", 0, "epochs = 0: input should be greater than or equal to 1"),
        ("smoothing", -1e-9, "greater than or equal to 0"),
        ("smoothing", 1, "less than or equal to 0.99"),
        ("smoothing", float("nan"), "than or equal to"),
        ("smoothing", float("inf"), "less than or equal to"),
        ("epochs", 1.5, "epochs = 1.5: input should be a valid integer"),
        ("epochs", "auto", "valid integer"),
        ("optimizer", "lion", "'lion' is not one of 'adam', 'sgd'"),
        ("compile", "perhaps", "valid boolean"),
        ("loggers", ["disk"], "is none of csv, wandb"),
    ],
)
def test_what_is_of_another_type_is_refused(choices, name, written, reason):
    with pytest.raises(ValueError, match=reason):
        choices.value(name, written)


def test_names_are_those_of_the_command_line(choices):
    assert choices.name("encoder-weights") == "encoder_weights"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("optimiser", "did you mean 'optimizer'"), ("zzz", "'zzz' is no option that a file can set")],
)
def test_what_is_no_option_is_refused(choices, name, hint):
    with pytest.raises(ValueError, match=hint):
        choices.name(name)


@pytest.fixture
def call():
    """A function that runs a command with `Options`: what it is given, or what is said."""
    given = []

    @with_options
    def command(path: str, *, options: Options, quiet: bool = False):
        given.append((path, options, quiet))

    app = typer.Typer(rich_markup_mode="markdown")
    app.command()(command)

    def run(*words):
        outcome = CliRunner().invoke(app, [*map(str, words)])
        return given.pop() if outcome.exit_code == 0 and given else outcome.output

    return run


def test_a_command_is_given_its_options_as_their_dataclass(call):
    assert call("a") == ("a", Options(), False)
    assert call("a", "--epochs", 3, "--no-jitter", "--logger", "csv,wandb", "--lr", "auto") == (
        "a", Options(epochs=3, jitter=False, loggers=("csv", "wandb"), lr=None), False
    )  # fmt: skip


def test_a_file_gives_options_and_the_command_line_goes_first(call, tmp_path):
    path = tmp_path / "options.toml"
    path.write_text(
        "epochs = 3\nlr = 'auto'\n'encoder-weights' = 'x'\ncompile = true\nlogger = ['csv']"
    )

    _, options, _ = call("a", "--config", path, "--epochs", 5)

    assert options == Options(
        epochs=5, lr=None, encoder_weights="x", compile=True, loggers=("csv",)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epoch = 3", "'epoch' is no option that a file can set; did you mean 'epochs'?"),
        ("epochs = 0", "epochs: input should be greater than or equal to 1"),
        ("path = 'b'", "'path' is no option that a file can set"),
        ("config = 'b'", "'config' is no option that a file can set"),
        ("[train]\nepochs = 1", "'train' is no option that a file can set"),
        ("time = 5", "time: '5' has no unit; write 5s, 5m or 5h"),
    ],
)
def test_a_file_with_other_options_or_values_is_refused(call, tmp_path, text, reason):
    path = tmp_path / "options.toml"
    path.write_text(text)

    assert reason in " ".join(call("a", "--config", path).replace("│", "").split())


def test_the_record_of_a_run_is_a_file_of_options(call, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(
        '{"options": {"lr": null, "time": 90.5, "epochs": 2, "encoder": null, "jitter": false, '
        '"loggers": ["csv"]}}'
    )

    _, options, _ = call("a", "--config", path)

    assert options == Options(lr=None, time=90.5, epochs=2, jitter=False, loggers=("csv",))


STEPS = [
    TileOptions, CheckOptions, TrainOptions, QuantizeOptions, RuntimeOptions, PredictOptions,
    LayerOptions, MosaicOptions, PostprocessOptions, EvaluateOptions, SamplingOptions,
    PolygonOptions, PageOptions, ReportOptions, PreviewOptions, BandOptions,
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_command_line_without_options_means_the_defaults_of_the_step(step):
    given = []

    def command(*, options):
        given.append(options)

    command.__annotations__["options"] = step
    app = typer.Typer()
    app.command()(with_options(command))

    outcome = CliRunner().invoke(app, [])

    assert outcome.exit_code == 0, outcome.output
    assert given == [step()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_has_a_help(name):
    command = typer.main.get_command(cli).get_command(None, name)

    assert [each.name for each in command.params if not each.help] == []


def test_the_help_has_the_groups_of_the_options(call):
    assert "─ Group ─" in call("--help")
