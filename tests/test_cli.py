"""The program: exit codes, what goes where, and what is not imported.

A process of its own has what only it can show; its start takes as long as a hundred calls.
"""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from subprocess import PIPE

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import box

import geoseg
from geoseg import cli
from geoseg.raster.atomic import staged

COMMANDS = ["tile", "train", "predict", "mosaic", "evaluate", "legend", "preview"]
PLACE = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)}

WATCHED = """
import sys
from geoseg.cli import main
for line in sys.stdin:
    sys.argv = ["geoseg", *line.split()]
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    heavy = {"torch", "lightning", "segmentation_models_pytorch"} & set(sys.modules)
    print(line.rstrip(), "|", code, sorted(heavy), file=sys.stderr)
"""


def run(*words, code="from geoseg.cli import main; main()", **options):
    """What a shell sees of ``geoseg WORDS``."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, **{"capture_output": True, "text": True} | options, check=False)


@pytest.fixture
def call(monkeypatch, capsys):
    """A function that does in this process what `run` does in another."""

    def called(*words):
        monkeypatch.setattr("sys.argv", ["geoseg", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return subprocess.CompletedProcess(words, end.value.code or 0, *capsys.readouterr())

    return called


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An orthophoto, a class map that names no classes, and polygons."""
    folder = tmp_path_factory.mktemp("cli")
    picture = np.random.default_rng(0).integers(1, 200, (3, 64, 64), np.uint8)
    for name, image in {"ortho.tif": picture, "map.tif": np.zeros((1, 64, 64), np.uint8)}.items():
        shape = {"count": len(image), "height": 64, "width": 64, "dtype": "uint8"}
        with rasterio.open(folder / name, "w", driver="GTiff", **shape, **PLACE) as file:
            file.write(image)
    houses = gpd.GeoSeries([box(500_000, 5_699_980, 500_020, 5_700_000)], crs=PLACE["crs"])
    houses.to_file(folder / "houses.gpkg")
    return folder


def test_the_version_is_that_of_the_project():
    done = run("--version")

    assert (done.returncode, done.stdout) == (0, f"geoseg {geoseg.__version__}\n")
    project = Path(__file__).parents[1] / "pyproject.toml"
    assert geoseg.__version__ == tomllib.loads(project.read_text())["project"]["version"]


def test_help_names_every_command():
    done = run("--help")

    assert done.returncode == 0
    assert all(f"  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["mosaic"],
        ["mosaic", "a.tif", "-o", "b.tif", "--nonsense"],
        ["mosaic", "a.tif", "-o", "b.tif", "--method", "best"],
        ["tile", "a.tif", "-r", "b.tif", "-l", "isprs", "-o", "c", "--patch-size", "0"],
        ["tile", "a.tif", "-r", "b.tif", "-l", "isprs", "-o", "c", "--patch-size", "9" * 20],
    ],
)
def test_wrong_usage_exits_2_and_says_how_it_is_used(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = call(*words)

    assert done.returncode == 2
    assert "Usage: " in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["tile", "no.tif", "-r", "no.tif", "-l", "isprs", "-o", "c"], "no.tif: no such file"),
        (["tile", "no.tif", "-r", "no.tif", "-l", "no.toml", "-o", "c"], "no.toml: no such file"),
        (["train", "no_set", "-o", "c"], "no_set: no patch set"),
        (["predict", "no_model", "no.tif", "-o", "c.tif"], "no_model: no such folder"),
        (["mosaic", "no.tif", "-o", "c.tif"], "no.tif: no such file"),
        (["mosaic", "*.tif", "-o", "c.tif"], "*.tif: matches no file"),
        (["evaluate", "no.tif", "-r", "no.tif"], "no.tif: no such file"),
        (["legend", "no.tif"], "no.tif: no such file"),
        (["preview", "no.tif", "-o", "c.png"], "no.tif: no such file"),
    ],
)
def test_a_failure_is_one_line_and_exits_1(call, words, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = call(*words)

    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"geoseg: {reason}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["mosaic", "no.tif", "-o", "c.tif"], 1, "geoseg: no.tif: no such file"),
        (["mosaic", "no.tif"], 2, "Error: Missing option '--output' / '-o'."),
    ],
)
def test_a_process_exits_with_the_code_and_ends_with_the_line(words, code, line, tmp_path):
    done = run(*words, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1] == line


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_on_a_terminal_json_goes_to_stdout_and_the_bar_to_stderr(folder, tmp_path):
    import termios

    terminal, other_end = os.openpty()
    termios.tcsetwinsize(other_end, (24, 80))
    words = ["mosaic", folder / "map.tif", "-l", "binary:house", "-o", tmp_path / "m.tif"]

    done = run(*words, "--json", capture_output=False, stdout=subprocess.PIPE, stderr=other_end)
    os.write(other_end, b"END")
    shown = os.read(terminal, 10_000).decode()
    os.close(other_end)
    os.close(terminal)

    assert json.loads(done.stdout)["class_pixels"] == {"other": 64 * 64, "house": 0}
    assert "mosaic: " in shown
    assert "/1 [" in shown


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_what_is_no_terminal_gets_no_bar(call, folder, tmp_path, quiet):
    words = ["mosaic", folder / "map.tif", "-l", "binary:house", "-o", tmp_path / "m.tif"]

    assert call(*words, *quiet).stderr == ""


def test_programs_read_stderr_as_json(folder, tmp_path):
    words = ["mosaic", folder / "map.tif", "-l", "binary:house", "-o", tmp_path / "m.tif"]

    lines = run(*words, "--progress", "json").stderr.splitlines()

    first, last = map(json.loads, lines)
    assert (first["event"], first["step"], first["share"]) == ("progress", "mosaic", 0.0)
    assert (last["event"], last["step"], last["share"]) == ("progress", "mosaic", 1.0)


def test_what_needs_no_network_does_its_work_without_torch(folder, tmp_path):
    tile = "tile ortho.tif -r houses.gpkg -l binary:house --patch-size 16 --split random"
    lines = [
        "--help",
        "train --help",
        "predict --help",
        f"{tile} -o {tmp_path}/p",
        f"mosaic map.tif -l binary:house -o {tmp_path}/m.tif",
        f"evaluate map.tif -r houses.gpkg -l binary:house -o {tmp_path}/r",
        "legend map.tif",
        f"preview ortho.tif map.tif -o {tmp_path}/p.png",
    ]

    done = run(code=WATCHED, cwd=folder, input="\n".join(lines))

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "|" in line]
    assert told == [f"{line} | 0 []" for line in lines]


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "geoseg evaluate --int", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "geoseg evaluate --int"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "geoseg evaluate --int",
                  "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)  # fmt: skip
def test_shells_complete_words(shell, asked):
    calls = {**os.environ, **asked, "_GEOSEG_COMPLETE": f"complete_{shell}"}
    code = "import sys; sys.argv = ['geoseg']; from geoseg.cli import main; main()"

    assert "--intervals" in run(code=code, env=calls).stdout


@pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("bash"), reason="needs bash, and a script of Unix"
)
def test_installed_completion_completes_names_at_once(tmp_path):
    program = tmp_path / "geoseg"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{str(Path(__file__).parents[1])!r}]\n"
        f"from geoseg.cli import main\ntry:\n    main()\nfinally:\n"
        f"    print(sorted({{*sys.modules}} & {{'numpy', 'rasterio'}}), file=sys.stderr)\n"
    )
    program.chmod(0o755)
    own = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    calls = os.environ | own | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

    def shell(script):
        command = ["bash", "-c", script]
        return subprocess.run(command, env=calls, capture_output=True, text=True, check=True)

    shell("geoseg --install-completion bash")
    done = shell(
        "source ~/.bashrc; COMP_WORDS=(geoseg pre); COMP_CWORD=1; _geoseg_completion geoseg; "
        'echo "${COMPREPLY[@]}"'
    )

    assert done.stdout == "predict preview\n"
    assert done.stderr == "[]\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("words", ["info ortho.tif", "--help"])
def test_a_result_that_cannot_be_written_is_a_failure_of_one_line(words, folder):
    with Path("/dev/full").open("w") as full:
        done = run(*words.split(), cwd=folder, capture_output=False, stdout=full, stderr=PIPE)

    assert done.returncode == 1
    assert done.stderr == "geoseg: stdout: cannot be written: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of Unix")
def test_a_reader_that_has_seen_enough_ends_a_command_in_silence(folder):
    script = "import sys; sys.stdin.read(); from geoseg.cli import main; main()"
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", script, "info", "ortho.tif"],
        cwd=folder, stdin=PIPE, stdout=write_end, stderr=PIPE,
    )  # fmt: skip
    os.close(write_end)
    os.close(read_end)  # as `head` does, before a line is there
    _, err = process.communicate(b"")

    assert (process.returncode, err) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs streams that can be closed")
def test_with_stdout_closed_no_file_of_ours_takes_its_place(folder):
    closed = (
        "import os; os.close(1); import sys; sys.stdout = None; from geoseg.cli import main; main()"
    )

    done = run("info", "ortho.tif", code=closed, cwd=folder)

    assert done.returncode == 1
    assert done.stderr == "geoseg: stdout: cannot be written: Bad file descriptor\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_too_few_open_files_are_said_at_once(folder):
    few = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)); "
        "from geoseg.cli import main; main()"
    )
    done = run("info", "ortho.tif", code=few, cwd=folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert "no more than 16 open files" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file", "a\nb.tif"), r"a\nb.tif: No such file"),
        (PermissionError(13, "Permission denied", b"x"), "x: Permission denied"),
        (OSError(24, "Too many open files"), "too many open files"),
        (MemoryError("8 EiB"), "out of memory: 8 EiB"),
        (RuntimeError("Symlink loop from '/a/loop'"), "'/a/loop': a link to itself"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_a_failure_of_one_line(error, line, monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: raising(error))

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    [shown] = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"geoseg: {line}")


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("x"),
        RuntimeError("x"),
        ImportError("no module"),
        OSError("x"),
        FileNotFoundError(2, "No such file", str(Path(geoseg.__file__).with_name("lost.toml"))),
    ],
)
def test_a_bug_keeps_its_traceback(bug, monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: raising(bug))

    with pytest.raises(type(bug)):
        cli.main()


def raising(error):
    raise error


def test_a_command_that_is_terminated_leaves_nothing_behind(monkeypatch, tmp_path):
    def write_half():
        with staged(tmp_path / "out.txt", overwrite=False) as partial:
            partial.write_text("half")
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli, "app", write_half)
    before = signal.getsignal(signal.SIGTERM)

    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ended.value.code == 143
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [("info", ""), ("mosaic", "a.tif", "", "-o", "b.tif"), ("preview", "a.tif", "--output=")],
)
def test_an_empty_word_is_wrong_usage_and_not_the_folder_one_works_in(monkeypatch, capsys, words):
    monkeypatch.setattr("sys.argv", ["geoseg", *words])

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 2
    assert " is empty, as where a variable of the shell is not set" in capsys.readouterr().err


def test_a_page_may_be_without_a_title(monkeypatch, capsys, tmp_path):
    words = ["report", tmp_path / "none.tif", "-o", tmp_path / "r.html", "--title", ""]
    monkeypatch.setattr("sys.argv", ["geoseg", *map(str, words)])

    with pytest.raises(SystemExit):
        cli.main()

    assert "none.tif: no such file" in capsys.readouterr().err


def test_the_list_of_commands_has_the_first_line_of_each_help():
    for name in cli.COMMANDS:
        own = {"import": "import_"}.get(name, name.replace("-", "_"))  # a word of Python
        function = getattr(importlib.import_module(f"geoseg.commands.{own}"), own)

        assert cli._summary(name) == function.__doc__.partition("\n")[0]
