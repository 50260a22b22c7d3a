"""Rasters behind a server that fails: one of the tests' own, on this machine."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from servers import serving

from geoseg.errors import ChangedError, RasterError, ServerError
from geoseg.raster import configure, remote
from geoseg.raster.atomic import write_text
from geoseg.raster.paths import parse_name
from geoseg.raster.reader import RasterReader
from geoseg.raster.remote import Version, remote_names, repeated_requests, version_of
from geoseg.raster.storage import file_state, is_older
from geoseg.raster.tolerant import TolerantReader
from geoseg.raster.window import sliding_windows

SIDE = 256
IMAGE = np.random.default_rng(0).integers(1, 250, (3, SIDE, SIDE)).astype(np.uint8)
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}
STRIPED = {"blockysize": 16}

TRANSIENT = {
    "nothing": {},
    "503 for a third": {"status": 503, "every": 3},
    "429 for a third": {"status": 429, "every": 3},
    "one that breaks off at the header": {"close": 1000, "times": 1},
    "one that breaks off": {"close": 1000, "after": 2, "times": 1},
    "one without a byte": {"close": 0, "after": 2, "times": 1},
    "slow": {"delay": 0.01},
}
"""What goes wrong with some requests, and goes by."""

LASTING = {
    "all break off": ({"close": 1000, "after": 2}, "(the connection broke off|tried)"),
    "503 for all": ({"status": 503, "after": 2}, "the server answered 503"),
    "404 for all": ({"status": 404, "after": 2}, ""),
    "403 for all": ({"status": 403, "after": 2}, ""),
}
"""What goes wrong for ever, and what is said of it."""


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Repeat at once; and have threads of GDAL, as the user may, which must give way."""
    monkeypatch.setenv("GDAL_NUM_THREADS", "ALL_CPUS")
    configure()
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")


@pytest.fixture(params=[TILED | {"compress": "jpeg"}, STRIPED], ids=["jpeg tiles", "strips"])
def local(write_raster, request):
    """A raster of several requests."""
    return write_raster("a.tif", IMAGE, **request.param)


def vrt_of(name, folder):
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = folder / "remote.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}">'
        f"<GeoTransform>500000, 1, 0, 5700000, 0, -1</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def windows():
    return sliding_windows(SIDE, SIDE, size=128, stride=128)


def open_on(shelf, name="a.tif"):
    return RasterReader(Path(shelf.name(name)))


def pixels_of(path):
    with RasterReader(path) as reader:
        return reader.read(reader.grid.window).image


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_goes_by_costs_no_byte(local, server, fault):
    shelf = server.shelf(local.parent, **TRANSIENT[fault])
    expected, before = pixels_of(local), repeated_requests()

    with open_on(shelf) as reader:
        for window in windows():
            assert (reader.read(window).image == expected[:, *window.slices]).all()

    if fault in {"nothing", "slow"} or "status" in TRANSIENT[fault]:  # GDAL mends some in silence
        assert (repeated_requests() > before) == ("status" in TRANSIENT[fault])


@pytest.mark.parametrize("close", [300, 1000, 2000, 4000])
def test_a_header_that_breaks_off_is_not_taken_for_an_empty_file(write_raster, server, close):
    """GDAL took all strips for empty: blank pixels, and no error."""
    image = np.tile(IMAGE, (1, 4, 1))
    local = write_raster("a.tif", image, interleave="pixel", blockysize=1)
    shelf = server.shelf(local.parent, close=close, times=1)

    with open_on(shelf) as reader:
        assert (reader.read(reader.grid.window).image == image).all()


@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_told_with_window_fault_and_way_out(local, server, fault):
    faults, said = LASTING[fault]
    shelf, expected = server.shelf(local.parent, **faults), pixels_of(local)

    message = ""
    with open_on(shelf) as reader:
        for window in windows():
            try:
                image = reader.read(window).image
            except RasterError as error:
                message = str(error)
                break
            assert (image == expected[:, *window.slices]).all()

    assert re.search(rf"cannot be read in Window.*; {said}.*(again later|check)", message)
    assert "\n" not in message


@pytest.mark.parametrize("fault", [*TRANSIENT, *LASTING])
def test_behind_a_virtual_raster_pixels_are_right_or_refused(write_raster, server, tmp_path, fault):
    """GDAL remembers sources that it could not open, and then gives zeros in silence."""
    local = write_raster("a.tif", IMAGE, **TILED)
    faults = TRANSIENT.get(fault) or LASTING.get(fault, [{}])[0]
    shelf, expected = server.shelf(tmp_path, **faults), pixels_of(local)
    failures = 0

    with RasterReader(vrt_of(shelf.name("a.tif"), tmp_path)) as reader:
        for window in windows():
            try:
                image = reader.read(window).image
            except RasterError:
                failures += 1
            else:
                assert (image == expected[:, *window.slices]).all()

    assert (failures > 0) == (fault in LASTING)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"head": 403}, "code: 403; check the keys"),
        ({"head": 503}, "code: 503; tried 4 times; try again later"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_with_the_way_out(write_raster, server, faults, said):
    shelf = server.shelf(write_raster("a.tif", IMAGE).parent, **faults)

    with pytest.raises(RasterError, match=said):
        open_on(shelf)


@pytest.mark.parametrize("side", [SIDE, 8 * SIDE])
def test_without_ranges_small_files_are_read_and_large_ones_refused(write_raster, server, side):
    image = np.tile(IMAGE, (1, side // SIDE, side // SIDE))
    shelf = server.shelf(write_raster("a.tif", image, **TILED).parent, ranges=False)
    try:
        with open_on(shelf) as reader:
            assert (reader.read(reader.grid.window).image == image).all()
    except RasterError as error:
        assert "Range downloading not supported" in str(error)  # noqa: PT017 GDAL decides
        assert "--stage DIR" in str(error)  # noqa: PT017 which are large


def test_a_file_that_is_missing_is_asked_for_once(server, tmp_path):
    shelf = server.shelf(tmp_path)

    with pytest.raises(RasterError, match="code: 404; check the name"):
        open_on(shelf)

    assert len(shelf.log()) == 1


def test_a_file_that_was_missing_is_found_once_it_is_there(write_raster, server):
    local = write_raster("a.tif", IMAGE)
    shelf = server.shelf(local.parent)
    away = local.rename(local.with_suffix(".away"))
    with pytest.raises(RasterError):
        open_on(shelf)

    away.rename(local)

    assert (pixels_of(Path(shelf.name("a.tif"))) == IMAGE).all()


def test_a_certificate_of_another_name_is_refused(tmp_path):
    trustme = pytest.importorskip("trustme")
    certificate = trustme.CA().issue_cert("example.org")
    path = tmp_path / "certificate.pem"
    chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
    path.write_bytes(certificate.private_key_pem.bytes() + chain)

    with (
        serving(path) as server,
        pytest.raises(RasterError, match=r"certificate problem.*CURL_CA_BUNDLE"),
    ):
        RasterReader(Path(f"/vsicurl/{server.url}/a.tif"))


def test_no_output_is_made_of_a_file_that_changes_meanwhile(write_raster, server, tmp_path):
    local = write_raster("a.tif", IMAGE, **TILED)
    shelf = server.shelf(local.parent, after=2, etag2='"two"')

    with open_on(shelf) as reader:
        for window in windows():
            reader.read(window)
        with pytest.raises(ChangedError, match=r'ETag "one", now "two"'):
            write_text(tmp_path / "out.txt", "made of it")

    assert not (tmp_path / "out.txt").exists()
    write_text(tmp_path / "out.txt", "made of something else")


def test_a_file_that_changes_until_it_is_closed_is_told(write_raster, server, monkeypatch):
    monkeypatch.setattr(remote, "RECENT_S", 0)
    shelf = server.shelf(write_raster("a.tif", IMAGE, **TILED).parent)

    reader = open_on(shelf)
    reader.read(reader.grid.window)
    shelf.set(etag='"two"')

    with pytest.raises(ChangedError, match="has changed"):
        reader.close()


def test_what_is_closed_is_not_asked_for_any_more(write_raster, server, tmp_path):
    shelf = server.shelf(write_raster("a.tif", IMAGE).parent)
    with open_on(shelf) as reader:
        reader.read(reader.grid.window)
    asked = len(shelf.log())

    write_text(tmp_path / "out.txt", "made of something else")

    assert len(shelf.log()) == asked


def test_the_sidecars_of_a_remote_raster_are_not_asked_for_and_local_ones_are_found(
    write_raster, server
):
    local = write_raster("a.tif", IMAGE, transform=None, crs=None)
    local.with_suffix(".tfw").write_text("2\n0\n0\n-2\n500001\n5699999\n")
    shelf = server.shelf(local.parent)

    with open_on(shelf) as other, RasterReader(local) as own:
        assert own.grid.transform.a == 2
        assert not other.grid.is_georeferenced

    assert {each[1] for each in shelf.log()} == {"a.tif"}


def test_each_repeated_request_is_logged_without_secrets(write_raster, server, caplog):
    local = write_raster("a.tif", IMAGE, **TILED)
    shelf = server.shelf(local.parent, status=503, after=1, times=1, password="abc123")  # noqa: S106

    with caplog.at_level(logging.DEBUG, "geoseg.remote"):
        pixels_of(Path(shelf.name("a.tif?signature=abc123")))

    (message,) = (each.getMessage() for each in caplog.records if each.name == "geoseg.remote")
    assert message.startswith("request repeated: ")
    assert "abc123" not in message


def test_the_version_of_a_file_is_asked_anew(write_raster, server):
    local = write_raster("a.tif", IMAGE)
    shelf = server.shelf(local.parent, etag='W/"one"')
    size = str(local.stat().st_size)

    first = version_of(shelf.name("a.tif"))
    shelf.set(etag='"two"')

    assert first == Version('"one"', "Tue, 14 Nov 2023 22:13:20 GMT", size)
    assert version_of(shelf.name("a.tif")) == first._replace(etag='"two"')
    assert version_of(shelf.name("b.tif")) is None


def test_what_a_server_does_not_give_is_not_taken_for_damage(write_raster, server):
    shelf = server.shelf(write_raster("a.tif", IMAGE, **TILED).parent, status=503, after=2)

    with open_on(shelf) as reader, pytest.raises(ServerError, match="answered 503"):
        [*map(TolerantReader(reader).read, windows())]


def test_what_is_damaged_on_a_server_is_damage(write_raster, server):
    local = write_raster("a.tif", IMAGE, **TILED, compress="deflate")
    content = bytearray(local.read_bytes())
    content[-14000:-10000] = bytes(4000)
    local.write_bytes(content)

    with open_on(server.shelf(local.parent)) as reader:
        tolerant = TolerantReader(reader)
        image = tolerant.read(reader.grid.window).image

    assert 0 < len(tolerant.failed) < 3
    assert (image[:, :128] == IMAGE[:, :128]).all()


def test_an_output_is_made_anew_of_a_file_that_has_changed(write_raster, server, tmp_path):
    output = tmp_path / "out.txt"
    output.touch()
    shelf = server.shelf(write_raster("a.tif", IMAGE).parent)
    path = parse_name(f"{shelf.url}/a.tif?sig=abc123")
    state = file_state(path)

    assert not is_older(output, [path])
    shelf.set(date=int(output.stat().st_mtime) + 100, etag='"two"')
    assert is_older(output, [path])
    assert file_state(path) != state
    assert "abc123" not in str(state)


def test_versions_fit_where_the_server_tells_less():
    version = Version('"one"', "", "5")

    assert version.fits(Version("", "yesterday", "5"))
    assert not version.fits(Version("", "yesterday", "6"))


def test_names_on_servers_are_found_within_names_of_gdal():
    names = ["/vsis3/b/a.tif", "/vsizip//vsigs/b/a.zip/c.tif", "/vsizip/a.zip/c.tif", "b.tif"]

    assert remote_names([*names, *names]) == ["/vsis3/b/a.tif", "/vsigs/b/a.zip"]
