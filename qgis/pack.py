"""Pack the QGIS plugin as the zip that QGIS installs: python qgis/pack.py OUTPUT.zip."""

import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

HERE = Path(__file__).parent
PLUGIN = HERE / "geoseg_processing"

NEEDED = ("name", "qgisMinimumVersion", "description", "about", "version", "author")
"""Keys of metadata.txt without which QGIS or its users do not know a plugin."""


def pack(output: Path) -> None:
    """Write the plugin and its licence; same files, same bytes."""
    metadata = ConfigParser()
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    if missing := [key for key in NEEDED if not metadata["general"].get(key)]:
        sys.exit(f"metadata.txt has no {', '.join(missing)}")
    files = sorted(each for each in PLUGIN.rglob("*") if each.suffix in {".py", ".txt", ".svg"})
    output.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(output, "w", ZIP_DEFLATED) as archive:
        for path in [*files, HERE.parent / "LICENSE"]:
            place = path.relative_to(PLUGIN) if path in files else Path(path.name)
            name = ZipInfo(f"{PLUGIN.name}/{place.as_posix()}")
            archive.writestr(name, path.read_bytes(), ZIP_DEFLATED)
    print(f"{output}: {len(files) + 1} files")  # noqa: T201


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
