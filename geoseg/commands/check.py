"""``geoseg check``: what is wrong with a patch set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json, styled, wrapped
from geoseg.patches.findings import CheckOptions
from geoseg.text import format_table

if TYPE_CHECKING:
    from geoseg.patches.findings import CheckReport


MOST_DETAILS = 8
"""Lines that are printed of a finding; the report has all."""


@with_options
def check(
    ctx: typer.Context,
    patches: Annotated[Path, typer.Argument(help="Patch set of `geoseg tile`.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Report folder to write, with pictures; with --drop the cleaned patch set.",
        ),
    ] = None,
    *,
    options: CheckOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Find leaks, duplicates, contradictions and odd values in a patch set.

    Exit code 1 if there are errors, which spoil a training or its metrics, and --drop does not
    leave them out.
    """
    from geoseg.patches.check import check
    from geoseg.patches.findings import write_cleaned_set, write_report
    from geoseg.raster.folders import CHECK, PATCH_SET
    from geoseg.raster.guard import Output

    drop = options.drop
    if drop and output is None:
        raise typer.BadParameter(
            "says what to leave out; --output where to write", param_hint="--drop"
        )
    outputs = [Output(output, PATCH_SET if drop else CHECK)] if output is not None else []
    shared.reserve(ctx, outputs, [patches], overwrite=overwrite)
    report = check(patches, workers=options.workers, watch=Console(quiet=quiet).progress)
    if output is not None and drop:
        count = write_cleaned_set(output, report, drop, overwrite=overwrite)
        Console(quiet=quiet).info(
            f"{output}: {count} of {len(report.patch_set.patches)} patches left"
        )
    elif output is not None:
        write_report(output, report, overwrite=overwrite)
    if json:
        print_json(report.to_dict())
    else:
        _tell(report, output)
    left = [each for each in report.findings if each.kind not in drop]
    if any(options.strict or each.severity == "error" for each in left):
        raise typer.Exit(1)


def _tell(report: "CheckReport", output: Path | None) -> None:
    content = report.to_dict()
    record = report.patch_set.record
    counts = ", ".join(f"{number} {split}" for split, number in content["counts"].items())
    head = (
        f"{content['patches']}: {len(report.patch_set.patches)} patches of {record.size} px "
        f"({counts}), {record.bands} bands of {record.dtype}"
    )
    echo(wrapped(head, indent=0))
    splits = content["class_shares"]
    rows = [
        {"": name, **{split: f"{own[name]:.2%}" for split, own in splits.items()}}
        for name in (record.legend.names if splits else ())
    ]
    for line in format_table(rows, least=7) if rows else ():
        echo(f"  {line}")
    for finding in report.findings:
        mark = styled(finding.severity, "red" if finding.severity == "error" else "yellow")
        echo(f"\n{mark} {styled(finding.kind, 'bold')}")
        echo(wrapped(f"{finding.what}.", indent=2))
        for line in finding.details[:MOST_DETAILS]:
            echo(wrapped(f"- {line}", indent=2))
        if (more := len(finding.details) - MOST_DETAILS) > 0:
            echo(f"  … and {more} more (in --json and the report)")
        echo(wrapped(f"-> {finding.advice}", indent=2))
    echo(f"\n{report.counted}")
    if output is not None:
        echo(str(output))
