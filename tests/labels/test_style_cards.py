"""Results as notebooks show them."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from geoseg.labels.legend import Legend
from geoseg.labels.style import card, figure_picture, map_legend, map_picture

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 3, "name": "roof", "color": "#d7301f"},
            {"value": 7, "name": "a <b>", "color": "#00ff00"},
        ]
    }
)


class Cells(HTMLParser):
    """Text of the cells of a table, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, _):
        if tag == "tr":
            self.rows.append([])
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & {*self.open}:
            self.rows[-1].append(data)


def test_a_table_has_the_colours_of_the_legend_and_no_markup_of_names():
    rows = [{"class": name, "share": share} for name, share in (("roof", "10%"), ("a <b>", "90%"))]

    html = card("map.tif", ["2 px"], rows=rows, legend=LEGEND)

    parsed = Cells(html)
    assert parsed.rows == [["class", "share"], ["roof", "10%"], ["a <b>", "90%"]]
    assert not parsed.open
    assert re.findall(r"background:(#\w+)", html) == ["#d7301f", "#00ff00"]


def test_a_card_without_a_legend_has_no_colours():
    assert "background" not in card("report", rows=[{"class": "roof"}])


def picture(html):
    """The image that HTML embeds."""
    return Image.open(io.BytesIO(b64decode(re.search(r"base64,([^\"]*)", html)[1])))


def test_a_map_is_shown_in_its_colours_and_transparent_where_it_has_no_data(write_raster):
    path = write_raster(
        "map.tif",
        np.array([[3, 7], [7, 255]], np.uint8),
        nodata=255,
        colormap={3: (215, 48, 31), 7: (0, 255, 0)},
    )

    shown = np.asarray(picture(map_picture(path)))

    assert shown.tolist() == [
        [[215, 48, 31, 255], [0, 255, 0, 255]],
        [[0, 255, 0, 255], [0, 0, 0, 0]],
    ]


def test_a_large_raster_is_shown_small(write_raster):
    path = write_raster("ortho.tif", np.full((3, 800, 1600), 90, np.uint8))

    assert max(picture(map_picture(path)).size) <= 400


def test_a_map_that_is_gone_has_neither_picture_nor_legend(tmp_path):
    assert map_picture(tmp_path / "gone.tif") == ""
    assert map_legend(tmp_path / "gone.tif") is None


def test_a_drawing_is_shown_small_and_its_name_is_text(tmp_path):
    path = tmp_path / "a & b.png"
    Image.new("RGB", (1200, 600)).save(path)

    html = figure_picture(path)

    assert picture(html).size == (360, 180)
    assert "a &amp; b.png" in html
    assert figure_picture(tmp_path / "none.png") == ""
