"""The page in a real browser, started once."""

import shutil
from contextlib import contextmanager
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from geoseg.report.inputs import ShowOptions
from geoseg.report.report import ReportOptions, serving, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

BLUE, RED, GREEN, PINK = (0, 0, 200), (215, 48, 31), (0, 255, 1), (224, 0, 122)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as start:
        chromium = start.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """A function that opens a page, and fails if it complains or asks the network."""
    contexts, complaints = [], []

    def go(url, *, width=900, height=500, **context):
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": height}, reduced_motion="reduce", **context
            )
        )
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(url)
        page.locator("#opacity").fill("100")
        settled(page)
        return page

    yield go
    for each in contexts:
        each.close()
    assert complaints == []


@pytest.fixture
def report(files, tmp_path):
    """A function that writes a report of the small world and gives its URL."""

    def write(**options):
        output = tmp_path / "report's & <b>.html"
        show = ShowOptions(references=(files["reference"],))
        page = ReportOptions(**options)
        write_report(
            [files["map"]], output, show, page, overwrite=True, watch=lambda items, _: items
        )
        return output.as_uri()

    return write


@contextmanager
def served(files):
    show = ShowOptions(references=(files["reference"],))
    place = ("127.0.0.1", 0)
    with serving([files["map"]], show, place=place, threads=1, warn=pytest.fail) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def until(page, condition):
    """Wait for something to become true; Playwright's own way is against the page's policy."""
    for _ in range(200):
        if page.evaluate(f"Boolean({condition})"):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"did not become true: {condition}")


def settled(page):
    """Wait until all tiles are there and painted."""
    until(page, "document.querySelector('canvas.leaflet-tile-loaded')")
    until(page, "!document.querySelector('canvas:not(.leaflet-tile-loaded)')")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def colors(page, *places):
    """Colours seen at places of the small world, given as shares of its width."""
    settled(page)
    box = page.locator("#map").bounding_box()
    row = {
        "x": 0,
        "y": box["y"] + box["height"] * 0.4,
        "width": box["x"] + box["width"],
        "height": 1,
    }
    picture = np.asarray(Image.open(BytesIO(page.screenshot(clip=row))).convert("RGB"))
    cols = [round(box["x"] + box["width"] * place) for place in places]
    return [tuple(picture[0, col].tolist()) for col in cols]


def near(color, expected):
    return max(abs(a - b) for a, b in zip(color, expected, strict=True)) <= 6


def slide(page, value):
    page.locator("#divider").fill(str(value))


def choose(page, side, role):
    page.locator(f"#{side} input[value={role}]").check()


def test_the_divider_swipes_between_orthophoto_and_map(opened, report):
    page = opened(report())

    left, right = colors(page, 0.3, 0.7)
    assert near(left, BLUE)
    assert near(right, GREEN)

    slide(page, 10)
    assert near(*colors(page, 0.3), RED)

    slide(page, 90)
    assert near(*colors(page, 0.7), BLUE)


def test_reference_and_errors_can_be_chosen(opened, report):
    page = opened(report())
    slide(page, 0)

    choose(page, "right", "reference")
    assert all(near(color, RED) for color in colors(page, 0.3, 0.7))

    choose(page, "right", "errors")
    agree, differ = colors(page, 0.3, 0.7)
    assert near(agree, (160, 160, 160))
    assert near(differ, PINK)


def test_a_class_can_be_hidden_and_shown_again(opened, report):
    page = opened(report())
    slide(page, 0)
    tree = page.get_by_label("tree")

    tree.uncheck()
    left, right = colors(page, 0.3, 0.7)
    assert near(left, RED)
    assert near(right, BLUE)

    tree.check()
    assert near(*colors(page, 0.7), GREEN)

    page.get_by_role("button", name="None").click()
    assert near(*colors(page, 0.3), BLUE)


def test_zoom_and_reading_under_the_pointer(opened, report):
    page = opened(report())
    scale = "document.querySelector('.leaflet-control-scale-line').textContent"
    before = page.evaluate(scale)

    page.get_by_role("button", name="Zoom in").click()
    until(page, f"{scale} !== '{before}'")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)

    until(page, "document.getElementById('under').innerText.includes('map: tree')")
    told = page.locator("#under").inner_text()
    assert "reference: building" in told
    assert "(EPSG:32632)" in told
    assert "row 3" in told or "row 2" in told


def test_everything_can_be_reached_with_the_keyboard(opened, report):
    page = opened(report())
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#opacity").focus()
    page.keyboard.press("End")

    page.locator("#divider").focus()
    page.keyboard.press("Home")
    assert near(*colors(page, 0.3), RED)

    page.locator("#right input[value=map]").focus()
    page.keyboard.press("ArrowDown")
    assert near(*colors(page, 0.7), RED)

    unnamed = "[...document.querySelectorAll('input, select, button')].filter((each) =>"
    unnamed += " !each.labels?.length && !each.ariaLabel && !each.textContent.trim()).length"
    assert page.evaluate(unnamed) == 0


def test_dark_and_narrow_screens(opened, report):
    dark = opened(report(), width=390, height=800, color_scheme="dark", has_touch=True)

    assert dark.evaluate("document.documentElement.scrollWidth <= innerWidth")
    red, green, blue = dark.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert max(red, green, blue) < 60
    stage, controls = (dark.locator(each).bounding_box() for each in ("#stage", "#controls"))
    assert controls["y"] >= stage["y"] + stage["height"]
    assert near(*colors(dark, 0.7), GREEN)


def test_a_served_page_counts_areas_when_it_is_asked(opened, files):
    with served(files) as url:
        page = opened(url)

        assert near(*colors(page, 0.7), GREEN)
        until(page, "document.querySelector('#classes .area').textContent")
        assert page.locator("#classes .area").first.inner_text() == "0.08 ha, 50.0 %"
        assert page.locator("[data-areas] tbody tr").first.inner_text().split("\t")[2:] == [
            "50.00 %",
            "3,000",
        ]
