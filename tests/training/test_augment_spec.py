from dataclasses import replace

import pytest

from geoseg.errors import TrainingError
from geoseg.training.augment import PRESETS, STRENGTHS, Augmentation

parse = Augmentation.parse


@pytest.mark.parametrize("word", ["none", "flips", "d4"])
def test_positions_of_a_square_have_names(word):
    assert parse(word) == Augmentation(symmetries=word)


def test_words_are_joined_by_commas_each_with_its_strength():
    found = parse("d4, Rotation:30,scale:0.5-1.5,band-dropout:.1,crop:0.6")

    assert found == Augmentation(
        symmetries="d4", rotation=30, scale=(0.5, 1.5), band_dropout=0.1, crop=0.6
    )


def test_a_later_word_replaces_an_earlier_one():
    assert parse("noise:0.1,d4,noise:0.02,flips") == parse("flips,noise:0.02")
    assert parse("light,rotation,none,blur") == Augmentation(blur=1)


def test_a_strength_of_0_takes_a_change_out_of_a_preset():
    found = parse("light,scale:1,brightness:0")

    assert (found.is_geometric, found.brightness, found.contrast) == (False, 0, 0.2)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_change_has_a_usual_strength_and_can_be_switched_off(name):
    assert parse(name) != Augmentation()
    assert parse(f"{name},{name}:0") == Augmentation()


def test_one_factor_of_scale_stands_for_its_inverse_too():
    assert parse("scale:2").scale == parse("scale:0.5").scale == (0.5, 2)


def test_what_only_a_preset_brought_is_known():
    assert "saturation" in parse("strong").from_preset
    assert "saturation" not in parse("strong,saturation:0.3").from_preset
    assert replace(parse("strong"), from_preset=frozenset()) == parse(PRESETS["strong"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not an augmentation"),
        (
            "d4,rotate:30",
            "'rotate:30' is not an augmentation; choose from none, flips, d4, light, stro",
        ),
        ("d4:2", "'d4:2' is not an augmentation"),
        ("strong:2", "'strong:2' is not an augmentation"),
        ("rotation:270", "rotation:270 is out of range: the strength goes from 0 to 180"),
        ("noise:-0.1", "noise:-0.1 is out of range"),
        ("noise:nan", "noise:nan is out of range"),
        ("erasing:much", "erasing:much is out of range"),
        ("scale:0", "scale:0 is not a range of factors such as 0.8-1.25, between 0.25"),
        ("scale:2-1", "scale:2-1 is not a range"),
        ("scale:0.1-1", "scale:0.1-1 is not a range"),
        ("scale:0.8-1-2", "scale:0.8-1-2 is not a range"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text, message):
    with pytest.raises(TrainingError, match=message):
        parse(text)
