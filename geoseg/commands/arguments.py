"""Command-line arguments made from the options dataclasses of the steps."""

import difflib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from geoseg.commands.console import Console, call, requests_told
from geoseg.errors import InputError, OutputConflictError, OutputError
from geoseg.keywords import without_none
from geoseg.options import ArrayPart, Declaration, OptionField, as_word, build, options_of
from geoseg.progress import Style, set_style
from geoseg.raster.folders import locked_once
from geoseg.raster.guard import Output, check_outputs
from geoseg.raster.paths import parse_name, refuse_non_tiff

CONFIG = "config"
"""Name of the option that every command with options has."""

PROGRESS = "progress"
"""Name of the option that every command has that may be quiet."""

UNSET = ("auto", "none")
"""Words in a file for the default of an option that is worked out."""

NOT_IN_A_FILE = {CONFIG, PROGRESS, "help", "output", "overwrite", "resume", "dry_run"}
"""Parameters that a file of options does not set: what one call does, not how."""


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function annotated for typer, some of whose keywords are dataclasses.

    Each of these becomes an option of the command line per field, and a ``--config FILE`` sets
    them. A command that may be quiet has ``--progress``. All other parameters stay as they are.
    """
    hints = get_type_hints(function, include_extras=True)
    classes = {name: hint for name, hint in hints.items() if isinstance(hint, type)}
    steps = {name: options_of(cls) for name, cls in classes.items() if is_dataclass(cls)}
    declared = {name: each for step in steps.values() for name, each in step.items()}

    @wraps(function)
    def command(**given: Any) -> None:
        given.pop(CONFIG, None)
        set_style(given.pop(PROGRESS, "auto"))
        for name, step in steps.items():
            values = {each: _unset(field, given.pop(each)) for each, field in step.items()}
            given[name] = build(classes[name], values)
        with requests_told(quiet=given.get("quiet", False), verbose=given.get("verbose", False)):
            call(function, given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in steps:
            parameters += map(_parameter, steps[name].values())
        else:
            parameters.append(parameter.replace(annotation=_with_names(hints[name])))
    if "quiet" in hints:
        parameters.append(_PROGRESS)
    if declared:
        parameters.append(_config_parameter(declared))
    _sign(command, parameters)
    return command


def _with_names(hint: Any) -> Any:
    """An annotation for typer; what is a path in it is made by `parse_name`."""
    if get_origin(hint) is Annotated:
        kind, info = without_none(get_args(hint)[0]), get_args(hint)[1]
        if kind is Path or get_args(kind) == (Path,):
            info.parser = parse_name
    return hint


def _sign(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> None:
    """Give a function the parameters that typer is to see."""
    command.__signature__ = inspect.Signature([*parameters])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}


def _unset(each: OptionField, value: Any) -> Any:
    """The value of a field from what typer gives: tuples for lists, the default for none."""
    if _repeats(each) and isinstance(value, list | tuple):
        value = tuple(value) or None
    return each.default if value is None and each.declaration.none is None else value


def _repeats(each: OptionField) -> bool:
    """Whether an option may be given several times, each time an element."""
    declared = each.declaration
    return declared.repeat or (declared.parse is None and get_origin(each.hint) is tuple)


def _parameter(each: OptionField) -> inspect.Parameter:
    """The parameter by which typer knows an option."""
    declared = each.declaration
    kind: Any = without_none(each.hint)
    default = each.default
    more: dict[str, Any] = {"min": declared.min, "max": declared.max}
    if declared.parse is not None:
        kind, more = Any, {"parser": _parser(declared, default)}
        default = None if default in (None, ()) else str(default)
    if _repeats(each):
        element = Any if declared.parse else get_args(each.hint)[0]
        kind, default = types.GenericAlias(list, element), None
    if default is None and declared.none is not None:
        default = declared.none
    names = declared.names or (f"--{each.name.replace('_', '-')}",)
    if kind is bool and each.default is None:
        names = (f"{names[0]}/--no-{names[0].removeprefix('--')}",)
    info = typer.Option(
        *names,
        help=declared.help,
        metavar=declared.metavar,
        rich_help_panel=declared.group,
        show_default=declared.shown or (default is not None and default is not False),
        **more,
    )
    kind = kind if default is not None else kind | None
    return inspect.Parameter(
        each.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=_with_names(Annotated[kind, info]),
    )


def _parser(declared: Declaration, default: Any) -> Callable[[str], Any]:
    """What typer takes for a function that raises ValueError; the default stands as it is."""

    def parsed(text: str) -> Any:
        if default is not None and text == str(default):  # what parses may load torch
            return default
        try:
            return declared.value_of(text)
        except ValueError as error:
            other = "" if declared.none is None else f", nor {declared.none}"
            raise typer.BadParameter(f"{error}{other}") from None

    return parsed


def _config_parameter(declared: Mapping[str, OptionField]) -> inspect.Parameter:
    def take(ctx: typer.Context, path: Path | None) -> Path | None:
        if path is not None and not ctx.resilient_parsing:
            words = _config_words(ctx, path, declared)
            ctx.default_map = {**(ctx.default_map or {}), **words}
        return path

    info = typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=take,
        help="TOML file of options by name (of `train` also a `run.json`); those of the command "
        "line go first.",
    )
    return inspect.Parameter(
        CONFIG,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, info],
    )


def _config_words(
    ctx: typer.Context, path: Path, declared: Mapping[str, OptionField]
) -> dict[str, Any]:
    """Options of a file, as they would stand on the command line."""
    words: dict[str, Any] = {}
    for key, value in _read_config(path, declared).items():
        try:
            parameter = _find_parameter(ctx.command.params, key)
            _checked_value(ctx, parameter, value)
        except ValueError as error:
            raise typer.BadParameter(f"{path}: {key}: {error}", param_hint="--config") from None
        words[parameter.name] = _in_words(value, parameter)
    return words


def _read_config(path: Path, declared: Mapping[str, OptionField]) -> dict[str, Any]:
    """Options by name: of a flat TOML file, or of the record of a training."""
    from geoseg.raster.records import read_record, read_toml

    if path.suffix.lower() != ".json":
        return read_toml(path)
    options = read_record(path).get("options")
    if not isinstance(options, dict):
        raise InputError(f"{path}: holds no options; name a `run.json`, or a TOML file")
    words = {
        name: as_word(declared[name].declaration, value) if name in declared else value
        for name, value in options.items()
    }
    return {name: word for name, word in words.items() if word is not None}


def _in_words(value: Any, parameter: Any) -> Any:
    """A value of a file as it would stand on the command line, so that it is checked as there."""
    takes_several = parameter.multiple or parameter.nargs == -1
    if not isinstance(value, list | tuple):
        word = str(value).lower() if isinstance(value, bool) else str(value)
        return [word] if takes_several else word
    words = [str(each) for each in value]
    return words if takes_several else ",".join(words)


def _checked_value(ctx: typer.Context, parameter: Any, written: Any) -> Any:
    """What a parameter makes of a value of a file, or a ValueError."""
    try:
        return parameter.process_value(ctx, _in_words(written, parameter))
    except typer.BadParameter as error:
        reason = error.message.removeprefix("Value error, ").rstrip(".")
        raise ValueError(reason[:1].lower() + reason[1:]) from None


def _find_parameter(parameters: Iterable[Any], written: str) -> Any:
    """The parameter of a command by its name or flag, with hyphens or underscores."""
    by_name: dict[str, Any] = {}
    for each in parameters:
        if each.param_type_name == "option" and each.name not in NOT_IN_A_FILE:
            by_name |= dict.fromkeys(
                [_plain(name) for name in (*each.opts, each.name) if len(name.strip("-")) > 1], each
            )
    name = _plain(written)
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{written!r} is no option that a file can set{hint}")
    return by_name[name]


def _plain(name: str) -> str:
    return name.removeprefix("--").replace("_", "-")


class Choices:
    """Values of a step's options from a file, checked as on the command line."""

    def __init__(self, options: type) -> None:
        """Prepare for the options of a dataclass."""
        self._options = options_of(options)

        def command(**_: Any) -> None:
            """Only parsed, never called."""

        _sign(command, map(_parameter, self._options.values()))
        app = typer.Typer()
        app.command()(command)
        self._context = typer.Context(typer.main.get_command(app))

    def name(self, written: str) -> str:
        """The option that is meant; hyphens are as good as underscores.

        Raises:
            ValueError: If there is none.
        """
        return str(_find_parameter(self._context.command.params, written).name)

    def value(self, name: str, written: Any) -> Any:
        """The value that an option takes of a number, a word, true or false, or a list of them.

        Raises:
            ValueError: If it is not of the option's type, or out of its bounds.
        """
        each = self._options[name]
        if written is None or (written in UNSET and each.default is None):
            return None
        parameter = _find_parameter(self._context.command.params, name)
        try:
            return _unset(each, _checked_value(self._context, parameter, written))
        except ValueError as error:
            raise ValueError(f"{name} = {written!r}: {error}") from None

    def is_whole(self, name: str) -> bool:
        """Whether an option is a whole number."""
        return without_none(self._options[name].hint) is int

    def is_number(self, name: str) -> bool:
        """Whether an option is a number."""
        return without_none(self._options[name].hint) in (int, float)


LegendName = Annotated[
    str | None,
    typer.Option(
        "--legend",
        "-l",
        help="TOML file, or a preset (geoseg legend PRESET prints it): isprs (values 0-5), "
        "isprs-1to6 (1-6, 0 = border), voc, landcover-ai, binary:NAME [default: as class maps and "
        "polygons of geoseg say].",
        show_default=False,
    ),
]

Asset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel="Input",
        help="Of STAC items and stac-geoparquet, or the column of a CSV [default: the only one "
        "with data].",
        show_default=False,
    ),
]

ReferenceAsset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel="Input",
        help="The same of references [default: as --asset].",
        show_default=False,
    ),
]


def _cluster_name(text: str) -> str:
    from geoseg.cluster.connect import ClusterName

    try:
        ClusterName.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local:N|tcp://HOST:PORT|slurm|FILE.json",
        parser=_cluster_name,
        help="Workers of Dask that do it, an input or a part of a large one at a time: processes "
        "of this machine, those of a scheduler, or jobs of slurm, pbs, lsf or sge (slurm:20); see "
        "docs/cluster.md.",
    ),
]


def refuse_copies(cluster: str | None, stage: Path | None) -> None:
    """Copies on this machine are of no use to the workers of a cluster."""
    if cluster and stage is not None:
        raise typer.BadParameter("--cluster does not go with --stage")


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what it takes; do nothing.")
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages.")]

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More messages.")]


_PROGRESS = inspect.Parameter(
    PROGRESS,
    inspect.Parameter.KEYWORD_ONLY,
    default="auto",
    annotation=Annotated[
        Style,
        typer.Option(
            "--progress",
            help="On stderr: a bar on a terminal and a line a minute elsewhere, always a bar, "
            "JSON lines for programs, or none.",
        ),
    ],
)
"""Declared once, for all commands that may be quiet."""


def refuse_given(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Options that would be ignored are wrong usage, if the user has given them."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(why, ctx=ctx, param_hint=f"'{parameter.opts[0]}'")


def refuse_other_formats(option: str, *paths: Path | None) -> None:
    """Maps are GeoTIFFs; another ending is wrong usage."""
    try:
        refuse_non_tiff(*paths)
    except OutputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def refuse_wide_stride(stride: int | None, size: int | None) -> None:
    """A stride beyond the patch would leave gaps; that is wrong usage."""
    if stride and size and stride > size:
        raise typer.BadParameter(
            f"{stride} is more than the patch size {size} and would leave gaps",
            param_hint="--stride",
        )


def tell_part(console: Console, part: tuple[int, int] | None) -> None:
    """Say which task of an array job this is, if that decides the part."""
    if isinstance(part, ArrayPart):
        console.info(f"part {part[0]} of {part[1]}: {part.source}")


Named = Path | str | None | Sequence[Path]
"""What the user names in an argument or option: files, folders, a preset, or nothing."""


def check(outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool) -> None:
    """See, before any work, that outputs may be written.

    Args:
        outputs: All that the command writes, side files too.
        inputs: All that it reads.
        overwrite: Whether existing outputs may be replaced.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    try:
        check_outputs(outputs, _paths(inputs), overwrite=overwrite)
    except OutputConflictError as error:
        raise typer.BadParameter(str(error)) from error


def reserve(
    ctx: typer.Context, outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool
) -> None:
    """As `check`; no other process writes the outputs until the command of the context ends."""
    outputs = list(outputs)
    check(outputs, inputs, overwrite=overwrite)
    for output in outputs:
        new = [each for each in output.path.absolute().parents if not each.exists()]
        ctx.call_on_close(partial(_remove_empty, new))
        ctx.with_resource(locked_once(output.path))


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for an output, if it has not come to be."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _paths(named: Iterable[Named]) -> Iterator[Path]:
    for each in named:
        if isinstance(each, Path | str):
            yield parse_name(each)
        elif each is not None:
            yield from each
