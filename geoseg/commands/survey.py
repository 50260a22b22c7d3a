"""What ``geoseg evaluate`` shows of the errors of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk
from geoseg.raster.paths import TIFF_SUFFIXES

if TYPE_CHECKING:
    from geoseg.evaluation.comparison import Pair
    from geoseg.evaluation.evaluation import Evaluation
    from geoseg.evaluation.options import EvaluateOptions, Reading


@dataclass(frozen=True)
class Errors:
    """What the user wants to see."""

    pairs: Sequence["Pair"]
    """The maps."""

    options: "EvaluateOptions"
    """What is wanted."""

    orthos: Mapping["Pair", Path]
    """Orthophotos of maps."""

    with_report: bool
    """Whether a report folder is written, which holds pictures."""

    overwrite: bool
    """Whether existing outputs are replaced."""

    def outputs(self) -> list[Path]:
        """The files that will be written, once what is wanted is seen to be possible.

        Raises:
            BadParameter: If it is not.
        """
        from geoseg.labels.style import sidecars

        if self.orthos and not (self.options.worst and self.with_report):
            raise typer.BadParameter("is for --worst with --output", param_hint="--ortho")
        paths = list(self._maps().values())
        options.refuse_other_formats("--error-map", *paths)
        return [file for path in paths for file in (path, *sidecars(path))]

    def survey(
        self, report: "Evaluation", reading: "Reading", talk: Talk
    ) -> tuple["Evaluation", list[Any]]:
        """Write error maps and look for the worst windows.

        Returns:
            The evaluation with these windows, and pictures of them.
        """
        from geoseg.evaluation.error_map import ErrorLegend, ErrorOptions, ranked, survey_errors
        from geoseg.evaluation.report import read_panels

        if not (self.options.error_map or self.options.worst):
            return report, []
        errors = ErrorLegend.of(report.legend, report.pooled.confusion)
        maps, found = self._maps(), []
        for pair, counts in report.counts.items():
            path = maps.get(pair)
            wanted = ErrorOptions(
                error_map=path,
                worst=self.options.worst,
                side=self.options.window,
                overwrite=self.overwrite,
            )
            found += survey_errors(
                pair,
                counts,
                report.legend,
                errors,
                wanted,
                workers=self.options.threads,
                watch=talk.watch(f"errors of {pair.name}"),
                **reading,
            )
            if path is not None:
                talk.say(f"errors of {pair.name}: {path}")
        windows = ranked(found, self.options.worst)
        panels = []
        if self.with_report:
            panels = read_panels(windows, report.legend, errors, orthos=self.orthos, **reading)
        return replace(report, error_windows=windows), panels

    def _maps(self) -> dict["Pair", Path]:
        """The error map of each map."""
        if self.options.error_map is None:
            return {}
        if len(self.pairs) == 1:
            return {self.pairs[0]: self.options.error_map}
        if self.options.error_map.suffix.lower() in TIFF_SUFFIXES:
            raise typer.BadParameter(
                f"{self.options.error_map}: name a folder for the errors of several maps",
                param_hint="--error-map",
            )
        return {pair: self.options.error_map / f"{pair.name}_errors.tif" for pair in self.pairs}


def match_orthos(
    pairs: Sequence["Pair"], named: Sequence[Path], *, by_name: bool
) -> dict["Pair", Path]:
    """The orthophoto of each map, of those that the user names; one serves all.

    Raises:
        InputError: If they do not match.
    """
    from geoseg.raster.paths import find_rasters, match_by_name, match_by_order

    paths = find_rasters(named)
    maps = [pair.class_map for pair in pairs]
    if not paths:
        return {}
    if by_name and len(paths) > 1:
        return dict(zip(pairs, match_by_name(maps, paths, kind="orthophoto"), strict=True))
    return dict(zip(pairs, match_by_order(maps, paths, kind="orthophoto"), strict=True))
