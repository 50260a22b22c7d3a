"""The architecture as a test: one order of folders, no circles, bounds on files."""

import ast
import importlib
import itertools
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import geoseg

PACKAGE = Path(geoseg.__file__).parent
README = PACKAGE.parent / "README.md"

ORDER = (  # a module imports from its own folder and from those before it
    "errors",
    "text",
    "progress",
    "options",
    "raster",
    "keywords",
    "labels",
    "patches",
    "model",
    "prediction",
    "postprocess",
    "evaluation",
    "vectorize",
    "report",
    "training",
    "cluster",
    "api",
    "commands",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, name in enumerate((*ORDER, "__init__"))}

ONLY_IN = {
    "torch": {"model", "training"},
    "torchvision": {"model", "training"},
    "segmentation_models_pytorch": {"model", "training"},
    "timm": {"model", "training"},
    "safetensors": {"model", "training", "vectorize.cells"},
    "openvino": {"model"},
    "nncf": {"model"},
    "onnxruntime": {"model"},
    "lightning": {"training"},
    "rasterio": {
        "raster",
        "labels.tags",
        "patches.index",
        "patches.patch_set",
        "patches.training_ground",
    },
    "pyogrio": {"raster", "patches.index", "vectorize.layers"},
    "typer": {"cli", "commands"},
}

DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages on PyPI by the name that is imported, where they differ."""

LINES = range(60, 481)
"""Of a module that is neither a command nor a face."""

MOST_MODULES = 190
"""In the package, faces included."""

STEPS = 6
"""Arrows from file to file of one folder, one after the other, at most."""


def modules(package):
    """Dotted names below the package, and their files."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        yield ".".join(parts), path


@cache
def imports(path):
    """All modules that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def folder_of(module):
    """The folder, or the module at the top, that a dotted name lies in."""
    return module.partition(".")[0]


def own_modules(package):
    """The modules of the package that each of its modules imports."""
    names = {name for name, _ in modules(package)}
    found = {}
    for name, path in modules(package):
        inside = [
            each.removeprefix("geoseg.") for each in imports(path) if each.startswith("geoseg.")
        ]
        found[name] = {
            next((m for m in (each, each.rpartition(".")[0]) if m in names), None)
            for each in inside
        } - {None, name}
    return found


def broken_rules(package):
    """What the modules of a package do against the order."""
    for module, path in modules(package):
        own = folder_of(module)
        for imported in imports(path):
            root, _, rest = imported.partition(".")
            if root == "geoseg":
                part = folder_of(rest)
                if part in RANK and part != own and RANK[part] >= RANK.get(own, -1):
                    yield f"{module} imports {imported}"
            elif not {own, module} & ONLY_IN.get(root, {own}):
                yield f"{module} imports {imported}"


def longest_chain(folder, package=PACKAGE):
    """Modules of a folder, each of which imports the next; a circle is a ValueError."""
    arrows = own_modules(package)

    @cache
    def below(module):
        following = [m for m in arrows[module] if folder_of(m) == folder and m != folder]
        return [module, *max((chain(m) for m in following), key=len, default=[])]

    begun = []

    def chain(module):
        if module in begun:
            raise ValueError(f"a circle: {[*begun[begun.index(module) :], module]}")
        begun.append(module)
        found = below(module)
        begun.pop()
        return found

    return max((chain(m) for m in arrows if folder_of(m) == folder), key=len, default=[])


def test_every_module_has_a_place_in_the_order():
    assert {folder_of(module) for module, _ in modules(PACKAGE)} <= {*RANK}


def test_modules_import_only_from_their_folder_and_from_below_it():
    assert list(broken_rules(PACKAGE)) == []


@pytest.mark.parametrize("folder", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_the_files_of_a_folder_import_in_one_order_and_few_steps(folder):
    assert len(longest_chain(folder)) <= STEPS + 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("raster/reader.py", "from geoseg.labels.legend import Legend"),
        ("raster/reader.py", "from geoseg import labels"),
        ("raster/reader.py", "import geoseg.labels"),
        ("labels/confusion.py", "import rasterio"),
        ("patches/tile.py", "from geoseg.training.train import train"),
        ("patches/tile.py", "def late():\n    from rasterio import open"),
        ("prediction/score.py", "if False:\n    import torch.nn"),
        ("commands/tile.py", "from geoseg import cli"),
        ("model/bundle.py", "from typer import echo"),
        ("errors.py", "from geoseg.raster.window import Window"),
    ],
)
def test_a_broken_rule_is_caught(tmp_path, module, line):
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)

    assert len(list(broken_rules(tmp_path))) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("raster/grid.py", "from rasterio.crs import CRS"),
        ("labels/reference.py", "from geoseg.raster.window import Window"),
        ("commands/tile.py", "def tile():\n    from geoseg.patches.tile import tile"),
        ("evaluation/compare.py", "from geoseg.evaluation.metrics import Evaluation"),
        ("training/task.py", "import torch\nfrom geoseg.model import network"),
    ],
)
def test_what_the_design_allows_is_let_through(tmp_path, module, line):
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)

    assert list(broken_rules(tmp_path)) == []


def test_a_circle_is_caught(tmp_path):
    (tmp_path / "raster").mkdir()
    (tmp_path / "raster/one.py").write_text("from geoseg.raster.two import two")
    (tmp_path / "raster/two.py").write_text("def late():\n    from geoseg.raster.one import one")

    with pytest.raises(ValueError, match="circle"):
        longest_chain("raster", tmp_path)


def test_files_are_of_a_size_that_can_be_read():
    odd = {}
    for module, path in modules(PACKAGE):
        lines = path.read_text(encoding="utf-8").count("\n")
        face = path.name in {"__init__.py", "__main__.py"} or module == "cli"
        command = folder_of(module) == "commands"
        if lines >= LINES.stop or (lines < LINES.start and not face and not command):
            odd[module] = lines

    assert not odd


def test_there_are_not_more_files_than_one_can_know():
    assert len([*modules(PACKAGE)]) <= MOST_MODULES


def test_the_tree_of_the_readme_is_the_codes():
    tree = re.search(r"```\ngeoseg/\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert tree, "README.md has no tree"
    listed = {}
    for line in tree[1].splitlines():
        if found := re.match(r"  (\w+)/ +(.*)", line):
            folder, text = found.groups()
            listed[folder] = set(re.findall(r"\w+", text.partition(":")[2]))
        elif found := re.match(r" {10,}([\w, ]+)$", line):
            listed[folder] |= set(re.findall(r"\w+", found[1]))
    there = {}
    for module, path in modules(PACKAGE):
        folder, _, leaf = module.partition(".")
        if leaf and path.name != "__init__.py":
            there.setdefault(folder, set()).add(leaf)

    assert listed == there


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    listed = [
        *project["dependencies"],
        *itertools.chain(*project["optional-dependencies"].values()),
    ]
    declared = {re.match(r"[\w-]+", each)[0].lower().replace("-", "_") for each in listed}
    roots = {each.partition(".")[0] for _, path in modules(PACKAGE) for each in imports(path)}
    foreign = roots - {*sys.stdlib_module_names, "geoseg"}

    assert {DISTRIBUTIONS.get(each, each) for each in foreign} <= declared


def test_the_command_line_starts_without_torch():
    steps = "patches.tile, geoseg.prediction.mosaic, geoseg.evaluation.compare"
    code = f"import sys; import geoseg.cli, geoseg.{steps}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_of_commands_needs_none_of_their_libraries():
    code = (
        "import sys\nfrom geoseg.cli import main\nsys.argv = ['geoseg', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(sum(name in sys.modules for name in ('numpy', 'rasterio', 'torch')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "benchmarks").glob("*.py")), ids=str)
def test_benchmarks_import_what_there_is(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "geoseg":
            for alias in node.names:
                found = importlib.import_module(node.module)
                assert hasattr(found, alias.name) or importlib.import_module(
                    f"{node.module}.{alias.name}"
                )


CLOSURES = {"prediction.predict": 28, "evaluation.compare": 25}
"""Modules of the package that are imported with these, themselves included, at most."""


@pytest.mark.parametrize("module", CLOSURES)
def test_few_files_are_opened_for_a_step(module):
    code = (
        f"import geoseg.{module}, sys; print(*(m for m in sys.modules if m.startswith('geoseg.')))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    opened = [
        name for name in told.stdout.split() if not hasattr(sys.modules.get(name), "__path__")
    ]
    files = {
        name for name in opened if name.count(".") > 1 or name in {"geoseg.text", "geoseg.errors"}
    }

    assert len(files) <= CLOSURES[module], sorted(files)
