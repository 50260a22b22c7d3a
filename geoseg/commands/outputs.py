"""What a command is about to write, held against what it reads."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer

from geoseg.errors import OutputConflictError
from geoseg.io.guard import Output, check_outputs
from geoseg.io.lock import kept

__all__ = ["Output", "check", "reserve"]

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
    """As `check`; no other process writes the outputs until the command ends.

    Args:
        ctx: The command's.
        outputs: As in `check`.
        inputs: As in `check`.
        overwrite: As in `check`.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    outputs = list(outputs)
    check(outputs, inputs, overwrite=overwrite)
    for output in outputs:
        new = [each for each in output.path.absolute().parents if not each.exists()]
        ctx.call_on_close(partial(_remove_empty, new))
        ctx.with_resource(kept(output.path))


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for an output, if it has not come to be."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _paths(named: Iterable[Named]) -> Iterator[Path]:
    for each in named:
        if isinstance(each, Path):
            yield each
        elif isinstance(each, str):
            yield Path(each)
        elif each is not None:
            yield from each
