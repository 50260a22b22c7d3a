"""What an evaluation loads: half its start is geopandas, which rasters alone do not need."""

import subprocess
import sys

CODE = """
import sys
from geoseg.cli import main
sys.argv = ["geoseg", "evaluate", *sys.argv[1:]]
try:
    main()
finally:
    print(*{"geopandas", "pandas", "torch"} & set(sys.modules), file=sys.stderr)
"""


def test_rasters_are_evaluated_without_geopandas(write_pair, tmp_path):
    pair = write_pair([[1, 4, 1]], [[1, 4, 4]])
    legend = tmp_path / "legend.toml"
    legend.write_text(
        '[[class]]\nvalue = 1\nname = "building"\n[[class]]\nvalue = 4\nname = "tree"\n'
    )
    words = [pair.class_map, "-r", pair.reference, "-l", legend, "--quiet"]

    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words)], check=False, capture_output=True, text=True
    )

    assert "3 px counted" in done.stdout
    assert done.stderr.split() == []
    assert done.returncode == 0
