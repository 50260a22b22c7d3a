import json
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
from scenes import blobs, ground

from geoseg.errors import InputError, OutputExistsError
from geoseg.patches.check import check
from geoseg.patches.findings import write_cleaned_set, write_report
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import TileOptions
from geoseg.patches.tile import tile


@pytest.fixture
def report(make_set):
    """Of a set of four patches, the last two of which are the same."""
    same = {"image": ground(32, 32), "mask": blobs(32, 32, 9)}
    patch_set = make_set(
        {"image": ground(32, 32, 2), "split": "val"}, {"image": ground(32, 32, 1)}, same, same
    )
    return check(patch_set.folder, workers=1, watch=lambda _: lambda items, _: items)


class Tags(HTMLParser):
    """Collects pictures and what is not closed."""

    def __init__(self):
        super().__init__()
        self.pictures, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        if tag not in {"img", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_a_page_with_pictures_and_a_record(report, tmp_path):
    write_report(tmp_path / "report", report, overwrite=False)

    record = json.loads((tmp_path / "report" / "check.json").read_text())
    [finding] = record["findings"]  # and none that the same ground were in two scenes
    names = ["scene2_r000000_c000000", "scene3_r000000_c000000"]
    assert (finding["kind"], finding["patches"]) == ("duplicates", names)
    assert finding["groups"] == [names]
    page = Tags()
    page.feed((tmp_path / "report" / "report.html").read_text())
    assert (page.pictures, page.open) == (["duplicates.png"], [])
    with rasterio.open(tmp_path / "report" / "duplicates.png") as sheet:
        assert len(np.unique(sheet.read(1))) > 20


def test_a_report_needs_overwrite_and_never_replaces_the_patches(report, tmp_path):
    folder = report.patch_set.folder
    write_report(tmp_path / "report", report, overwrite=False)

    with pytest.raises(OutputExistsError):
        write_report(tmp_path / "report", report, overwrite=False)
    write_report(tmp_path / "report", report, overwrite=True)
    for own in (folder, folder.parent):
        with pytest.raises(InputError, match="holds the patches themselves"):
            write_report(own, report, overwrite=True)
        with pytest.raises(InputError, match="holds the patches themselves"):
            write_cleaned_set(own, report, ["duplicates"], overwrite=True)


def test_a_cleaned_index_reads_the_same_pixels(report, tmp_path):
    before = report.patch_set
    left = write_cleaned_set(tmp_path / "cleaned", report, ["duplicates"], overwrite=False)

    after = PatchSet.open(tmp_path / "cleaned")
    assert left == 3
    assert after.patches == before.patches[:3]
    assert np.array_equal(after.read(after.patches[2]).image, before.read(before.patches[2]).image)
    assert (tmp_path / "cleaned" / "check" / "report.html").exists()
    assert PatchSet.open(before.folder).patches == before.patches


def test_statistics_are_those_of_the_training_patches_that_are_left(report, tmp_path):
    write_cleaned_set(tmp_path / "cleaned", report, ["duplicates"], overwrite=False)

    record = PatchSet.open(tmp_path / "cleaned").record
    images = np.stack([ground(32, 32, 1), ground(32, 32)], axis=1).reshape(3, -1)
    assert record.statistics["mean"] == pytest.approx(images.mean(axis=1))
    assert record.statistics["max"] == images.max(axis=1).tolist()
    shares = np.array([patch.class_shares for patch in report.patch_set.patches])
    expected = 1000 * shares[1:3].sum(axis=0) / shares[1:].sum(axis=0)
    assert record.class_pixels == tuple(np.rint(expected).astype(int))


def test_a_cleaned_set_of_files_refers_to_those_of_the_first(make_set, tmp_path):
    index = make_set({"image": ground(64, 64)}, {"image": ground(32, 32, 3)})
    folder = tmp_path / "files"
    options = TileOptions(patch_size=32, stride=32, split="none", workers=1)
    tile(index.record.sources, index.record.legend, folder, options=options)
    report = check(folder, workers=1, watch=lambda _: lambda items, _: items)
    first = PatchSet.open(folder)
    for name in ("a", "b"):
        kept = PatchSet.open(folder if name == "a" else tmp_path / "a")
        again = check(kept.folder, workers=1, watch=lambda _: lambda items, _: items)
        write_cleaned_set(tmp_path / name, again, ["duplicates"], overwrite=False)

    twice = PatchSet.open(tmp_path / "b")

    assert {finding.kind for finding in report.findings} == {"missing-splits"}
    assert twice.image_path(twice.patches[0]).resolve() == first.image_path(first.patches[0])
    assert np.array_equal(twice.read(twice.patches[4]).image, ground(32, 32, 3))
