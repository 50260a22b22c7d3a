"""Inputs on servers and in buckets, outputs in buckets, from command line and Python."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import typer
from servers import DATE, serving
from shapely import box

import geoseg as api
from geoseg.cli import COMMANDS, app
from geoseg.errors import GeosegError, InputError
from geoseg.evaluation.comparison import RegionSource
from geoseg.raster.lists import find_rasters
from geoseg.raster.paths import GdalName, parse_name
from geoseg.raster.storage import file_state, is_older
from geoseg.raster.vector import read_polygons

WORK = ("--patch-size", 32, "--runtime", "torch", "--precision", "fp32", "--quiet")


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture
def signed(world, server):
    """The world, as a server gives it to those who are signed: a function of a file's name."""
    shelf = server.shelf(world, password="hush")  # noqa: S106
    return lambda name: f"{shelf.url}/{name}?sig=hush"


def texts_below(folder):
    """Of all files, as far as they are read as text."""
    return "".join(
        path.read_bytes().decode("latin1") for path in folder.rglob("*") if path.is_file()
    )


def test_a_map_of_a_signed_url_is_that_of_the_file(geoseg, world, model, signed):
    geoseg("predict", model, world / "ortho.tif", "-o", world / "local", *WORK)
    told = geoseg("predict", model, signed("ortho.tif"), "-o", world / "remote", *WORK)

    assert told.code == 0, told.err
    written = [(world / place / "ortho.tif").read_bytes() for place in ("local", "remote")]
    assert written[0] == written[1]
    assert "hush" not in texts_below(world / "remote") + told.out + told.err


def test_signed_urls_are_named_without_their_secrets_where_they_fail(
    geoseg, world, model, signed, server
):
    refused = f"{server.url}/{signed('').split('/')[-2]}/ortho.tif?sig=wrong"
    (world / "list.txt").write_text(f"{refused}\n{signed('none.tif')}\n{world / 'ortho.tif'}\n")

    told = geoseg("predict", model, f"@{world / 'list.txt'}", "-o", world / "maps", *WORK)

    assert told.code == 1
    assert "2 of 3 inputs failed" in told.err
    assert (world / "maps/ortho.tif").exists() or len([*(world / "maps").glob("*.tif")]) == 1
    kept = (world / "maps/failed.json").read_text()
    assert kept.count("sig=REDACTED") >= 2
    for text in (told.err, kept):
        assert "wrong" not in text
        assert "hush" not in text


def test_a_change_on_the_server_is_seen(world, server):
    shelf = server.shelf(world, etag='"one"')
    name = parse_name(f"{shelf.url}/ortho.tif")

    before, same = file_state(name), file_state(name)
    shelf.set(folder=str(world), etag='"two"')

    assert before == same != file_state(name)
    assert is_older(world / "reference.tif", [name]) == (world.stat().st_mtime < DATE)


def test_steps_take_stac_items(geoseg, world, signed):
    assets = {"image": {"href": signed("ortho.tif")}, "labels": {"href": "./reference.tif"}}
    content = {"type": "Feature", "stac_version": "1.0.0", "id": "one", "assets": assets}
    item = world / "item.json"
    item.write_text(json.dumps(content))
    both = (item, "-r", item, "--reference-asset", "labels")
    legend = ("-l", world / "legend.toml")
    out = world / "patches"

    tiled = geoseg("tile", *both, "--asset", "image", *legend, "-o", out, "--patch-size", 32)
    judged = geoseg("evaluate", *both, "--asset", "labels", *legend, "--json")

    assert (tiled.code, judged.code) == (0, 0), tiled.err + judged.err
    assert "hush" not in texts_below(out)
    assert json.loads(judged.out)["overall_accuracy"] == 1
    found = api.evaluate(item, item, legend=legend[1], asset="labels")
    assert found.pooled.confusion.overall_accuracy == 1
    page = world / "page.html"
    shown = geoseg("report", *both, "--asset", "image", *legend, "-o", page)
    assert shown.code == 0, shown.err
    assert "reference" in page.read_text(encoding="utf-8")
    work = ("--majority", "3px", *legend, "-o", world / "clean.tif")
    clean = geoseg("postprocess", item, "--asset", "labels", *work)
    assert clean.code == 0, clean.err


def test_polygons_of_geoparquet_are_taken_from_servers(world, signed):
    drawn = gpd.GeoDataFrame({"kind": ["roof"]}, geometry=[box(0, 0, 1, 2)], crs=32632)
    drawn.to_parquet(world / "roofs.parquet")

    found = read_polygons(parse_name(signed("roofs.parquet")), attribute="kind")

    assert (found.geometries.area.tolist(), found.attributes) == ([2], ["roof"])
    with pytest.raises(GeosegError, match=r"none\.parquet\?sig=REDACTED: .*404"):
        read_polygons(parse_name(signed("none.parquet")))


def test_lists_and_regions_are_taken_from_servers(world, signed, tmp_path):
    shown = signed("").partition("?")[0]
    (world / "list.txt").write_text("# all\n./ortho.tif?sig=hush\n")
    (world / "bad.txt").write_bytes("stra\xdfe.tif".encode("latin1"))

    assert find_rasters([parse_name(f"@{signed('list.txt')}")]) == [parse_name(signed("ortho.tif"))]
    for name, reason in (("none.txt", "404"), ("bad.txt", "not UTF-8")):
        with pytest.raises(InputError, match=f"^{shown}{name}\\?sig=REDACTED: .*{reason}"):
            find_rasters([parse_name(f"@{signed(name)}")])
    regions = RegionSource.parse("https://host//towns.gpkg:name")
    assert regions == RegionSource(parse_name("https://host//towns.gpkg"), "name")


def test_maps_go_to_a_bucket_and_are_found_there_to_resume(geoseg, world, model, bucket):
    (world / "broken.tif").write_bytes((world / "ortho.tif").read_bytes()[:2000])
    words = ("predict", model, world / "ortho.tif", world / "broken.tif", *WORK)
    out = ("-o", f"s3://{bucket.name}/maps/")

    first = geoseg(*words, *out)
    made = bucket.get("maps/ortho.tif")
    again = geoseg(*words, *out, "--resume")
    refused = geoseg("predict", model, world / "ortho.tif", *out)

    assert bucket.keys == ["maps/ortho.qml", "maps/ortho.tif", "maps/ortho.tif.aux.xml"]
    for told in (first, again):
        assert told.code == 1
        assert told.out.startswith(f"s3://{bucket.name}/maps/ortho.tif: ")
        assert "1 of 2 inputs failed: " in told.err
    assert "not tried again" in again.err
    assert bucket.get("maps/ortho.tif") == made
    assert refused.code == 1
    assert f"s3://{bucket.name}/maps/ortho.tif exists; use --overwrite" in refused.err


def test_a_map_is_mended_from_bucket_to_bucket(geoseg, world, bucket):
    name = f"s3://{bucket.name}/reference.tif"
    bucket.put("reference.tif", (world / "reference.tif").read_bytes())
    legend = ("-l", world / "legend.toml")
    out = f"s3://{bucket.name}/mosaic.tif"

    told = geoseg("mosaic", name, *legend, "-o", out, "--json")
    same = geoseg("mosaic", name, *legend, "-o", name, "--overwrite")

    assert json.loads(told.out)["path"] == out
    assert (same.code, "is an input; name another output" in same.err) == (2, True)


def test_outputs_that_stay_on_disks_are_refused(geoseg, world, model, bucket):
    url = f"s3://{bucket.name}/run"
    tiled = ("tile", world / "ortho.tif", "-r", world / "reference.tif", "--index-only")

    kept = ("-o", world / "map.tif", "--windows", url)
    windows = geoseg("predict", model, world / "ortho.tif", *kept, *WORK)
    index = geoseg(*tiled, "-l", world / "legend.toml", "-o", url)

    assert (windows.code, f"{url}: is written to disks alone" in windows.err) == (1, True)
    assert (index.code, "an index names orthophotos by their" in index.err) == (2, True)
    maps = ("predict", model, world / "ortho.tif", "-o", f"s3://{bucket.name}/maps/", *WORK)
    for words in (("--index", world / "all.gti.gpkg"), ("--cluster", "local:1")):
        refused = geoseg(*maps, *words)
        assert (refused.code, "bucket" in refused.err) == (2, True)
    assert bucket.keys == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_urls_where_it_takes_paths(name):
    command = typer.main.get_command(app).get_command(None, name)
    context = typer.Context(command)
    word = "https://host//a.tif"
    for each in command.params:
        many = each.multiple or each.nargs == -1
        try:
            found = each.process_value(context, [word] if many else word)
        except (typer.BadParameter, GeosegError):  # numbers and words; files of options
            continue
        for value in found if many else [found]:
            assert isinstance(value, GdalName) or not isinstance(value, Path), each.name


def test_python_takes_and_gives_objects_of_buckets(world, bucket):
    bucket.put("d/a.tif", (world / "reference.tif").read_bytes())
    out = f"s3://{bucket.name}/map.tif"

    report = api.mosaic(f"s3://{bucket.name}/d/a.tif", out, legend=world / "legend.toml")

    assert report.path == parse_name(out)
    with rasterio.open(world / "reference.tif") as old, rasterio.open(report.path.gdal) as new:
        assert np.array_equal(old.read(), new.read())
