"""Every code block of docs/ runs, on a part of the sample data.

One test is one page: its blocks follow from each other. (Sybil makes a test of each block, which
pytest-xdist would hand to different processes.) `sh` and `console` blocks are command lines of
geoseg, which run in this process; `python` blocks share their names; blocks of files with a title
are written under it. Blocks whose title begins with "Needs" are left to test_docs.py. Trainings
are made short. Lines of one block may write the same output: a reader chooses one of them.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tomllib
import warnings
from dataclasses import astuple, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.windows
import torch
from filelock import FileLock
from pages import DOCS, PAGES, blocks_in
from shapely import box
from town import SAMPLE, write_part

import geoseg
from geoseg import api, cli
from geoseg.errors import GeosegWarning
from geoseg.labels.legend_files import load_legend
from geoseg.model.bundle import ModelBundle, Normalisation, bundle_folders
from geoseg.model.network import build_network, load_network, save_network

SIDE = 768
"""Of the part of the town, in pixels."""

SMALL = {
    "epochs": 1,
    "samples_per_epoch": 8,
    "batch_size": 4,
    "arch": "pspnet",
    "encoder": "tu-test_resnet",
    "encoder_weights": "none",
    "workers": 0,
}
"""Options of a training of a second."""

LANGUAGES = {"sh", "console", "python", "toml", "yaml", "csv", "text"}


def run(*words):
    """A command line in this process; what it prints, or the reason why the page is wrong."""
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["geoseg", *words])
        streams = contextlib.redirect_stdout(told), contextlib.redirect_stderr(told)
        with streams[0], streams[1], pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code, f"geoseg {shlex.join(words)}\n{told.getvalue()}"
    return told.getvalue()


def train(*args, **options):
    """Train for a second; the network then answers every class somewhere, as a good one would."""
    report = api.train(*args, **options | SMALL)
    _spread(report.model)
    return report


def _spread(folder):
    """Scale the last layer of a bundle so that scores of all classes have the same range."""
    bundle, network = ModelBundle.load(folder), load_network(folder)
    with rasterio.open(SAMPLE / "ortho.tif") as file:
        image = file.read(window=((512, 1024), (512, 1024))).astype(np.float32)
    image = np.resize(image, (bundle.bands, *image.shape[1:]))
    mean, std = (np.array(each)[:, None, None] for each in astuple(bundle.normalisation))
    with torch.no_grad():
        logits = network(torch.as_tensor((image - mean) / std, dtype=torch.float32)[None])[0]
        mean, std = logits.mean((1, 2)), logits.std((1, 2)) + 1e-6
        head = network.segmentation_head[0]
        head.weight /= std[:, None, None, None]
        head.bias.copy_((head.bias - mean) / std)
    save_network(network, folder)
    bundle.write_record(folder)


def _halves(folder, name):
    """Write the left and the right half of a raster as scenes."""
    with rasterio.open(name) as whole:
        for index, stem in enumerate(("east", "west")):
            width = whole.width // 2
            window = rasterio.windows.Window(index * width, 0, width, whole.height)
            place = {"width": width, "transform": whole.window_transform(window)}
            Path(folder).mkdir(exist_ok=True)
            with rasterio.open(f"{folder}/{stem}.tif", "w", **whole.profile | place) as part:
                part.write(whole.read(window=window))


def _write_polygons(bounds, classes):
    """Write areas of several kinds: boxes, towns with names, sparse labels, points."""
    left, bottom, right, top = bounds
    middle = (left + right) / 2
    halves = [box(left, bottom, middle, top), box(middle, bottom, right, top)]
    for name in ("boxes", "checked", "fields"):
        frame = gpd.GeoDataFrame(geometry=[box(left + 20, bottom + 20, right, top)], crs=32633)
        frame.to_file(f"{name}.gpkg")
    frame = gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=32633)
    frame.to_file("towns.gpkg")
    rng = range(0, int(right - left) - 20, 24)
    drawn = [box(left + x, bottom + y, left + x + 8, bottom + y + 8) for x in rng for y in rng]
    names = [classes[i * 7 % len(classes)] for i in range(len(drawn))]
    areas = gpd.GeoDataFrame({"class": names}, geometry=drawn, crs=32633)
    areas.to_file("areas.gpkg")
    areas.to_file("drawn.gpkg")
    areas.set_geometry(areas.centroid).to_file("clicks.gpkg")


def _write_model_with_dsm(folder):
    """Write a bundle like that of ``run`` for one more band."""
    like = ModelBundle.load(Path("run/model"))
    network, _ = build_network(
        like.arch, like.encoder, bands=4, classes=len(like.legend), encoder_weights="none"
    )
    mean, std = ((*each, each[-1]) for each in astuple(like.normalisation))
    folder.mkdir(parents=True)
    save_network(network, folder)
    bundle = replace(
        like,
        bands=4,
        band_names=(*like.band_names, "dsm"),
        normalisation=Normalisation(mean=mean, std=std),
    )
    bundle.write_record(folder)


def _settle():
    """Write, into the working folder, what a reader of the pages has."""
    sample = Path("sample_data")
    sample.mkdir()
    write_part(sample, SIDE)
    shutil.copy(SAMPLE / "buildings.gpkg", sample)
    for file in sample.iterdir():
        shutil.copy(file, file.name)
    with (
        rasterio.open("ortho.tif") as ortho,
        rasterio.open("dsm.tif", "w", **ortho.profile | {"count": 1}) as dsm,
    ):
        dsm.write(ortho.read(2), 1)
        _write_polygons(ortho.bounds, ["grass", "road", "tree"])
    for folder in ("images", "orthos"):
        _halves(folder, "ortho.tif")
    for folder in ("masks", "references"):
        _halves(folder, "reference.tif")
    run("tile", "ortho.tif", "-r", "reference.tif", "-l", "legend.toml",
        "-o", "patches", "--val", "0.2", "--test", "0.2", "-q")  # fmt: skip
    for other in ("old", "new"):
        shutil.copytree("patches", other)
    shutil.copy("reference.tif", "old.tif")
    Reader().type("geoseg train patches -o run")
    for other in ("run1", "run2", "other"):
        shutil.copytree("run", other)
    _write_model_with_dsm(Path("run_dsm/model"))
    run("predict", "run", "ortho.tif", "-o", "map.tif", "--scores", "-q")
    run("predict", "run", "orthos", "-o", "maps", "-q")
    run("vectorize", "map.tif", "-o", "map.gpkg", "-q")


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder of what a reader of the pages has, made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    whole = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = whole / "reader"
    with FileLock(whole / "reader.lock"):
        if not folder.exists():
            new = whole / "reader.new"
            new.mkdir()
            with contextlib.chdir(new):
                _settle()
            new.rename(folder)
    return folder


class Reader:
    """Somebody who types what stands on a page."""

    def __init__(self):
        self.names = {}
        self._done = set()
        self._written = set()
        self._earlier = set()

    def do(self, block):
        """Do what a block says."""
        self._earlier |= self._written
        if block.language == "python":
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore", GeosegWarning)
                exec(block.text, self.names)  # noqa: S102
        elif block.title and not block.commands:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "toml" and "class" in tomllib.loads(block.text):
            Path("written.toml").write_text(block.text, encoding="utf-8")
            load_legend("written.toml")
        told = [line for command in block.commands for line in self.type(command).splitlines()]
        missing = {*map(_shape, block.shown)} - {*map(_shape, told)}
        assert not missing, (missing, told)

    def type(self, line):
        """Type a command line."""
        program, *words = shlex.split(line, comments=True)
        assert program == "geoseg", f"{line}: no command of geoseg"
        return "".join(map(self._once, _parts(words)))

    def _once(self, words):
        if tuple(words) in self._done:
            return ""
        self._done.add(tuple(words))
        words = [each for word in words for each in _globbed(word)]
        self._make_room(words)
        if words[0] == "train":
            words += [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
            words = [word for word in words if word != "--resume"]
            words += [] if "--overwrite" in words else ["--overwrite"]
        told = run(*words)
        if words[0] == "train" and "-o" in words and "--dry-run" not in words:
            for folder in bundle_folders(Path(words[words.index("-o") + 1])):
                _spread(folder)
        return told

    def _make_room(self, words):
        """Remove an output that was there from the start, or of another line of the block."""
        if "-o" not in words:
            return
        output = Path(words[words.index("-o") + 1])
        again = output in self._written and {"--part", "--resume", "--overwrite"} & {*words}
        if not again and output not in self._earlier:
            _remove(output)
        self._written.add(output)


def _parts(words):
    """A command line, or that of each part if it is about one of them."""
    at = words.index("--part") + 1 if "--part" in words else 0
    if not at:
        return [words]
    count = int(words[at].partition("/")[2])
    return [[*words[:at], f"{i + 1}/{count}", *words[at + 1 :]] for i in range(count)]


def _globbed(word):
    """What a shell makes of a word."""
    return sorted(map(str, Path().glob(word))) or [word] if "*" in word else [word]


def _remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    layers = ("_scores.tif", "_confidence.tif") if path.suffix == ".tif" else ()
    for ending in (f"{path.suffix}.aux.xml", ".qml", *layers):
        path.with_name(f"{path.stem}{ending}").unlink(missing_ok=True)


def _shape(line):
    """A line of output without its numbers, and without what depends on the processor."""
    return " ".join(re.sub(r"[\d.,]*\d", "#", re.sub(r"\b(bf|fp)(16|32)\b", "#", line)).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_reader_can_do_what_stands_on_a_page(page, home, tmp_path, monkeypatch):
    work = tmp_path / "work"
    shutil.copytree(home, work)
    monkeypatch.chdir(work)
    monkeypatch.setattr(geoseg, "train", train, raising=False)
    reader = Reader()

    for block in blocks_in(page.read_text(encoding="utf-8")):
        assert block.language in LANGUAGES, f"{page.name}:{block.line}: of no known language"
        if not block.needs:
            try:
                reader.do(block)
            except BaseException as error:
                error.add_note(f"in {page}:{block.line}")
                raise


def test_a_page_that_is_wrong_is_noticed(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_in("```sh\ngeoseg info nowhere.tif\n```\n")

    with pytest.raises(AssertionError, match=r"nowhere\.tif"):
        Reader().do(block)


def test_output_that_does_not_come_is_noticed(home, monkeypatch):
    monkeypatch.chdir(home)
    text = "```console\n$ geoseg info map.tif\nmap.tif: a picture of 3 cats\n```\n"
    (block,) = blocks_in(text)

    with pytest.raises(AssertionError, match="cats"):
        Reader().do(block)
