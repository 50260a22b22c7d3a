"""The typer app, and the one place where a `GeosegError` becomes an exit code."""

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from keyword import iskeyword
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from geoseg import __version__
from geoseg.commands.console import echo
from geoseg.errors import GeosegError, GeosegWarning, InputError
from geoseg.progress import say, set_style, tells_events
from geoseg.raster import configure
from geoseg.raster.threads import keep_freed_memory

COMMANDS = (
    *("tile", "check", "train", "compare", "sweep", "quantize", "export", "import"),
    *("predict", "mosaic", "postprocess", "vectorize", "evaluate", "sample-points", "suggest"),
    *("legend", "info", "preview", "report", "view", "doctor"),
)
"""The subcommands, in the order of the work; each is a function of a module of its name."""

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""The error of wrong usage, of which typer exports but one kind."""

USAGE = 2
"""Exit code of wrong usage, as typer has it."""

SETTINGS = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Subcommands that are imported when they are called, so that the list of them is fast."""

    _by_name = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 typer's signature
        """Their names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 likewise
        """One of them, with its options in panels; None if there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        if self._by_name:
            return TyperCommand(cmd_name, help=_summary(cmd_name))
        name = _module_of(cmd_name)
        run = getattr(import_module(f"geoseg.commands.{name}"), name)
        one = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        one.command(cmd_name, context_settings=SETTINGS)(run)
        return typer.main.get_command(one)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a subcommand, for which none is imported."""
        self._by_name = True
        return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        """Call one; where a program reads stderr, wrong usage is an event, too."""
        try:
            return super().invoke(ctx)
        except USAGE_ERROR as error:
            if not tells_events():
                raise
            _tell_usage(error.format_message())
            raise typer.Exit(USAGE) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 likewise
        """List them with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in COMMANDS])


def _module_of(command: str) -> str:
    name = command.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _summary(command: str) -> str:
    """The first line of a subcommand's docstring; imports for it would take seconds."""
    name = _module_of(command)
    source = (PROGRAM / "commands" / f"{name}.py").read_text(encoding="utf-8")
    body = source.partition(f"\ndef {name}(")[2].partition('\n    """')[2]
    return body.partition("\n")[0].removesuffix('"""')


app = typer.Typer(
    name="geoseg",
    cls=Commands,
    help="Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are plain lines
    context_settings=SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"geoseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate."""


TOO_MANY = (errno.EMFILE, errno.ENFILE)
"""Errors of a process, or system, that has too many files open."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
"""Errors of a stream that takes no more; files of ours are named in their errors."""

ENOUGH_FILES, LEAST_FILES = 1024, 64
"""Files that may be open at a time: as many as are asked of the system, and least ones."""

PROGRAM = Path(__file__).parent
"""Where the program's own files are."""

MAY_BE_EMPTY = "--title"
"""The option whose value is for people alone."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code, as shells give it to what was ended by this signal."""


def _terminated(*_: object) -> NoReturn:
    """End as Ctrl-C does: what is being written is removed on the way out."""
    sys.exit(TERMINATED)


def main() -> None:
    """Entry point. 0 done, 1 expected failure, 2 wrong usage, 130 interrupted, 143 terminated.

    typer itself sees to wrong usage and Ctrl-C. A traceback is a bug.
    """
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings are for developers
    configure()
    keep_freed_memory()
    _make_streams_usable()
    try:
        try:
            set_style("json" if _asks_for_events(sys.argv) else "auto")
            _refuse_empty_words(sys.argv[1:])
            _allow_open_files()
            with _warnings_told():
                app()
        finally:
            sys.stdout.flush()  # what typer has printed, too
    except GeosegError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read, as `head`, has seen enough
        _forget_stdout()
        sys.exit(1)
    except (OSError, MemoryError, ImportError, RuntimeError) as error:
        if (refusal := _refusal(error)) is None:
            raise
        _fail(refusal)


def _asks_for_events(words: Sequence[str]) -> bool:
    """Whether `--progress json` stands among the words, with which parsing them may yet fail."""
    return "--progress=json" in words or ("--progress", "json") in pairwise(words)


def _refuse_empty_words(words: Sequence[str]) -> None:
    """Take an empty word for wrong usage: as a path it would be the folder that one works in."""
    for before, word in pairwise(["geoseg", *words]):
        option = word[:-1] if word.startswith("--") and word.endswith("=") else None
        if (not word or option) and MAY_BE_EMPTY not in (before, option):
            _tell_usage(
                f"what follows {option or before} is empty, as where a variable of the "
                f"shell is not set; give it a value, or leave it out"
            )
            sys.exit(USAGE)


def _tell_usage(message: str) -> None:
    """Say that usage is wrong, in typer's way or as an event."""
    event = tells_events()
    say(message if event else f"Error: {message}", "error" if event else "message", exit_code=USAGE)


def _fail(message: str) -> NoReturn:
    say(message, "error", exit_code=1)
    _forget_stdout()
    sys.exit(1)


def _refusal(error: BaseException) -> str | None:
    """What the system has refused, on one line; None: it is a bug, and keeps its traceback."""
    text, reason = str(error), getattr(error, "strerror", None)
    if getattr(error, "errno", None) in TOO_MANY or os.strerror(errno.EMFILE) in text:
        return f"too many open files ({text}); allow more, as with `ulimit -n {ENOUGH_FILES}`"
    if isinstance(error, MemoryError):
        return f"out of memory{f': {text}' if text else ''}"
    if "Symlink loop" in text:  # pathlib's, before Python 3.13
        return f"{text.partition(' from ')[2]}: a link to itself"
    name = getattr(error, "filename", None)
    if isinstance(error, OSError) and name is None and error.errno in FULL:
        return f"stdout: cannot be written: {reason}"
    # files of the program itself are no user's business
    if not isinstance(name, str | bytes) or Path(os.fsdecode(name)).is_relative_to(PROGRAM):
        return None
    return f"{os.fsdecode(name)}: {reason}"


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Print our own warnings as all messages are; those of others are left to whom they concern."""
    with warnings.catch_warnings():
        others = warnings.showwarning
        told: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, GeosegWarning):
                if sys.warnoptions:  # whoever develops has asked for them
                    others(message, category, *place, **more)
            elif str(message) not in told:
                told.add(str(message))
                say(str(message), "warning")

        warnings.simplefilter("always", GeosegWarning)
        warnings.showwarning = show
        yield


def _allow_open_files() -> None:
    """See that as many files can be open as the commands need: loaders would wait for ever."""
    try:
        import resource
    except ImportError:  # Windows
        return
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= now < ENOUGH_FILES:
        return
    wanted = ENOUGH_FILES if most == resource.RLIM_INFINITY else min(most, ENOUGH_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        now = wanted
    if now < LEAST_FILES:
        raise InputError(
            f"the system allows no more than {now} open files, which are too few; allow more, "
            f"as with `ulimit -n {ENOUGH_FILES}`"
        )


def _make_streams_usable() -> None:
    """See that all text can be printed, and that no file of ours takes the place of a stream.

    Where a stream is closed, what is opened first would be written to by whatever prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest free number; writing to it fails
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _forget_stdout() -> None:
    """Keep Python from trying, as it ends, to write what nobody can read."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
