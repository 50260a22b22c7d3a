import json

import pytest

from geoseg.report import doctor
from geoseg.report.doctor import Finding

LINES = [
    Finding("rasterio", "1.4"),
    Finding("PROJ_LIB", "leads elsewhere", "note", "unset it"),
    Finding("pyproj", "knows no CRS", "broken", "install it anew"),
]


@pytest.fixture
def found(monkeypatch):
    """A function that sets what an examination finds."""
    return lambda findings: monkeypatch.setattr(doctor, "CHECKS", {"all": lambda: iter(findings)})


def test_an_installation_without_a_fault_is_one_screen(geoseg, found):
    found(LINES[:2])

    outcome = geoseg("doctor")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "  rasterio     1.4",
        "! PROJ_LIB     leads elsewhere; unset it",
        "nothing is broken",
    ]


def test_a_fault_is_told_and_exits_1(geoseg, found):
    found(LINES)

    outcome = geoseg("doctor", "--json")

    assert outcome.code == 1
    assert outcome.err == "geoseg: broken: pyproj (knows no CRS)\n"
    report = json.loads(outcome.out)
    assert report["healthy"] is False
    assert [each["state"] for each in report["findings"]] == ["ok", "note", "broken"]


def test_this_installation_is_healthy(geoseg):
    outcome = geoseg("doctor", "--json")

    assert json.loads(outcome.out)["healthy"], outcome.out
