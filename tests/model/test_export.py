from dataclasses import replace

import pytest

from geoseg.errors import BundleError, GeosegError
from geoseg.model.export import ExportOptions, export, one_bundle


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtype": "uint16"}, "trained on uint16.*GeoDeep by their type's largest value.*--force"),
        ({"bands": 4}, "takes 4 bands.*GeoDeep always hands over three.*--force"),
    ],
)
def test_what_other_programs_would_feed_wrongly_is_refused(bundle, tmp_path, change, said):
    with pytest.raises(BundleError, match=said):
        export(replace(bundle, **change), tmp_path / "a.onnx", options=ExportOptions())

    assert not (tmp_path / "a.onnx").exists()


def test_a_network_in_an_impossible_size_leaves_nothing(fpn_bundle, tmp_path):
    with pytest.raises(BundleError, match="--patch-size 40"):
        export(fpn_bundle, tmp_path / "a.onnx", options=ExportOptions(patch_size=40))

    assert not (tmp_path / "a.onnx").exists()


def test_several_models_are_not_one_file(bundle, tmp_path):
    for fold in (1, 2):
        (tmp_path / f"fold{fold}").mkdir()
        (tmp_path / f"fold{fold}/model").symlink_to(bundle.folder)

    with pytest.raises(BundleError, match=r"holds 2 models.*one network: name one of them"):
        one_bundle(tmp_path)


def test_patches_that_are_not_there_are_told_before_the_work(bundle, tmp_path):
    with pytest.raises(GeosegError, match="nowhere"):
        export(bundle, tmp_path / "a.onnx", options=ExportOptions(patches=tmp_path / "nowhere"))

    assert not (tmp_path / "a.onnx").exists()
