import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from geoseg.errors import RasterError
from geoseg.labels.legend import Legend
from geoseg.report.inputs import ShowOptions
from geoseg.report.report import ReportOptions, write_report

HOSTILE = "a'b&lt;<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would see of a page: elements, texts, the data of its script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.texts, self._in = [], [], [], []
        self.data = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.sources += [value for key, value in attrs if key in {"src", "href"}]
        self._in.append(dict(attrs).get("id"))

    def handle_data(self, data):
        self.texts.append(data)
        if self._in and self._in[-1] == "data" and self.data is None:
            self.data = json.loads(data)


@pytest.fixture
def written(tmp_path):
    """A function that writes a report and reads it again."""

    def write(inputs, *, show=None, overwrite=False, **options):
        output = tmp_path / "report.html"
        report = write_report(
            inputs,
            output,
            show or ShowOptions(),
            ReportOptions(**options),
            overwrite=overwrite,
            watch=lambda items, _: items,
        )
        return report, Page(output.read_text(encoding="utf-8"))

    return write


def picture(uri):
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_a_page_holds_the_layers_and_nothing_from_elsewhere(files, written):
    report, page = written([files["map"]], show=ShowOptions(references=(files["reference"],)))

    tiles = page.data["tiles"]["data"]
    assert sorted(tiles) == ["0/image/0/0/0", "0/map/0/0/0", "0/reference/0/0/0"]
    assert picture(tiles["0/map/0/0/0"])[30, [10, 80]].tolist() == [0, 1]
    assert np.abs(picture(tiles["0/image/0/0/0"])[30, 10] - [0, 0, 200.0]).max() <= 4
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert (report.maps, report.sections, report.notes) == (1, 0, ())
    assert report.bytes == report.output.stat().st_size


def test_areas_stand_in_the_page_without_any_script(files, written):
    _, page = written([files["map"]])

    text = " ".join(page.texts)
    assert re.search(r"building\s+0\.08\s+50\.00 %\s+3,000", text)


def test_a_large_map_is_shrunk_and_this_is_said(files, written):
    report, page = written([files["map"]], size=25)

    assert page.data["scenes"][0]["width"] == 25
    assert picture(page.data["tiles"]["data"]["0/map/0/0/0"]).shape == (15, 25)
    assert "1/4 of its 100 x 60 pixels" in report.notes[0]
    assert report.notes[0] in page.texts


def test_names_cannot_become_markup(write_map, written, tmp_path):
    legend = Legend.from_dict({"class": [{"value": 0, "name": f"</script>{HOSTILE}"}]})
    path = write_map("map.tif", [[0, 0]], legend=legend)
    named = path.rename(tmp_path / f"{HOSTILE.replace('/', '')}.tif")

    _, page = written([named], title="</script><script>alert(1)</script>")

    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.data["scenes"][0]["name"] == HOSTILE.replace("/", "")
    assert page.data["scenes"][0]["classes"][0]["name"] == f"</script>{HOSTILE}"
    assert "".join(page.texts).count("</script><script>alert(1)</script>") == 2


def test_the_same_input_gives_the_same_bytes(files, written):
    first, _ = written([files["map"]])
    before = first.output.read_bytes()

    written([files["map"]], overwrite=True)

    assert first.output.read_bytes() == before


def test_what_cannot_be_read_leaves_nothing(files, written, tmp_path):
    content = bytearray(files["ortho"].read_bytes())
    files["ortho"].write_bytes(content[: len(content) // 2])
    before = sorted(tmp_path.iterdir())

    with pytest.raises(RasterError, match=r"ortho\.tif"):
        written([files["map"]])

    assert sorted(tmp_path.iterdir()) == before
