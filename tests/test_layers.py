"""The architecture as a test: a module imports only from below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import geoseg

PACKAGE = Path(geoseg.__file__).parent

LAYERS = [  # from the top; what stands in one layer does not import each other
    {"__main__"},
    {"cli"},
    {"commands"},
    {"chains"},
    {
        "tiling",
        "training",
        "prediction",
        "mosaicking",
        "postprocessing",
        "evaluation",
        "experiments",
        "vectorizing",
        "reporting",
        "quantizing",
        "checking",
        "informing",
    },
    {"model"},
    {"io"},
    {"core"},
    {"errors", "__init__"},
]
RANK = {name: rank for rank, layer in enumerate(reversed(LAYERS)) for name in layer}

ONLY_IN = {
    "torch": {"model", "training"},
    "torchvision": {"model", "training"},
    "segmentation_models_pytorch": {"model", "training"},
    "timm": {"model", "training"},
    "safetensors": {"model", "training"},
    "openvino": {"model"},
    "nncf": {"model"},
    "onnxruntime": {"model"},
    "lightning": {"training"},
    "rasterio": {"io", "core.grid"},
    "pyogrio": {"io"},
    "shapely": {"io", "vectorizing", "evaluation", "checking"},
    "geopandas": {"io", "vectorizing", "evaluation"},
    "typer": {"cli", "commands"},
}


def modules(package):
    """Dotted names below the package, and their files."""
    for path in sorted(package.rglob("*.py")):
        yield ".".join(path.relative_to(package).with_suffix("").parts), path


def imports(path):
    """All modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_part(imported):
    """The part of geoseg that an import names; None for others."""
    root, _, rest = imported.partition(".")
    if root != "geoseg":
        return None
    part = rest.partition(".")[0]
    return part if part in RANK else "__init__"


def broken_rules(package):
    """What the modules of a package do against the layers."""
    for module, path in modules(package):
        own = module.partition(".")[0]
        for imported in imports(path):
            part = own_part(imported)
            if part is not None and part != own and RANK[part] >= RANK[own]:
                yield f"{module} imports {imported}"
            allowed = ONLY_IN.get(imported.partition(".")[0], {own})
            if own not in allowed and module not in allowed:
                yield f"{module} imports {imported}"


def test_every_module_has_a_layer():
    assert {module.partition(".")[0] for module, _ in modules(PACKAGE)} <= set(RANK)


def test_modules_import_only_from_below_and_only_what_they_may():
    assert list(broken_rules(PACKAGE)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("core/blend.py", "from geoseg.io.raster import RasterReader"),
        ("core/blend.py", "from geoseg import io"),
        ("core/blend.py", "import geoseg.io"),
        ("core/blend.py", "import rasterio"),
        ("io/raster.py", "from geoseg import chains"),
        ("tiling/tile.py", "from geoseg.training import train"),
        ("tiling/tile.py", "def late():\n    from rasterio import open"),
        ("prediction/score.py", "if False:\n    import torch.nn"),
        ("commands/tile.py", "from geoseg import cli"),
        ("model/bundle.py", "from typer import echo"),
        ("reporting/html.py", "import shapely"),
    ],
)
def test_a_broken_rule_is_caught(tmp_path, module, line):
    path = tmp_path / module
    path.parent.mkdir()
    path.write_text(line)

    assert len(list(broken_rules(tmp_path))) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("core/grid.py", "from rasterio.crs import CRS"),
        ("io/raster.py", "from geoseg.core.window import Window"),
        ("commands/tile.py", "def tile():\n    from geoseg import tiling"),
        ("chains.py", "import geoseg"),
        ("training/task.py", "import torch\nfrom geoseg.model import network"),
    ],
)
def test_what_the_design_allows_is_let_through(tmp_path, module, line):
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)

    assert list(broken_rules(tmp_path)) == []


def test_the_command_line_starts_without_torch():
    steps = "cli, tiling, prediction, mosaicking, evaluation"
    code = f"import sys; from geoseg import {steps}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
