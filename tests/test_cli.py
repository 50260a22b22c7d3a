import subprocess
import sys

import pytest

import geoseg


def run(*words, code="from geoseg.cli import main; main()"):
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


def test_it_says_its_version():
    assert run("--version").stdout.strip() == f"geoseg {geoseg.__version__}"


@pytest.mark.parametrize("words", [["--nonsense"], ["nonsense"], ["tile", "--nonsense"]])
def test_wrong_usage_exits_2(words):
    assert run(*words).returncode == 2


def test_a_failure_is_one_line_and_exits_1():
    outcome = run("legend", "nothing.tif")

    assert outcome.returncode == 1
    assert outcome.stderr == "geoseg: nothing.tif: no such file\n"
    assert not outcome.stdout


@pytest.mark.parametrize(
    "words",
    [["--help"], ["tile", "--help"], ["train", "--help"], ["mosaic", "nothing.tif", "-o", "x.tif"],
     ["evaluate", "nothing.tif", "-r", "nothing.tif", "-l", "isprs"],
     ["tile", "nothing.tif", "-r", "nothing.tif", "-l", "isprs", "-o", "x"]],
)  # fmt: skip
def test_what_needs_no_network_does_not_import_torch(words):
    code = (
        "import sys\n"
        "from geoseg.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'\n"
    )

    assert "torch was imported" not in run(*words, code=code).stderr
