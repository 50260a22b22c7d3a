"""``geoseg doctor``: whether the installation can do its work."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import echo, print_json, styled, wrapped
from geoseg.errors import InputError

if TYPE_CHECKING:
    from geoseg.report.doctor import Finding

TOPIC_WIDTH = 11
"""Characters of the column of topics; a longer one pushes its line to the right."""


@with_options
def doctor(*, json: shared.Json = False) -> None:
    """Look at libraries, devices, space and network; exit code 1 if something is broken."""
    from geoseg.report.doctor import examine

    findings: list[Finding] = []
    for each in examine():
        findings.append(each)
        if not json:
            _show(each)
    broken = [each for each in findings if each.state == "broken"]
    if json:
        print_json({"healthy": not broken, "findings": [asdict(each) for each in findings]})
    if broken:
        told = "; ".join(f"{each.topic} ({each.text})" for each in broken)
        raise InputError(f"broken: {told}")
    if not json:
        echo("nothing is broken")


def _show(finding: "Finding") -> None:
    marks = {"ok": " ", "note": styled("!", "yellow"), "broken": styled("x", "red")}
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    text = f"{marks[finding.state]} {finding.topic:<{TOPIC_WIDTH}}  {finding.text}{remedy}"
    echo(wrapped(text, indent=0, hanging=TOPIC_WIDTH + 4))
