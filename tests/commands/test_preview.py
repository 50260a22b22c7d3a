import pytest

ENDS = {"preview": ".png", "report": ".html"}


def test_a_picture_is_drawn_of_rasters_side_by_side(geoseg, world):
    out = world / "preview.png"

    outcome = geoseg("preview", world / "ortho.tif", world / "reference.tif", "-o", out)

    assert outcome.code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert geoseg("preview", world / "ortho.tif", "-o", out).code == 1


@pytest.mark.parametrize("name", ["x.jpg", "x.tif", "x", "x.png.part"])
def test_a_picture_is_a_png(name, geoseg, world):
    outcome = geoseg("preview", world / "ortho.tif", "-o", world / name)

    assert outcome.code == 2
    assert "end the name in .png" in outcome.err
    assert not (world / name).exists()


def test_bands_are_chosen_by_number_or_by_name(geoseg, world):
    ortho, out = world / "ortho.tif", world / "preview.png"

    assert geoseg("preview", ortho, "-o", out, "--bands", "3,2,1").code == 0
    by_number = out.read_bytes()
    by_name = geoseg("preview", ortho, "-o", out, "--band-names", "blue,green,red", "--overwrite")

    assert by_name.code == 0
    assert out.read_bytes() == by_number


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--bands", "1,2"], "name three bands"),
        (["--band-names", "red,,blue"], "name three bands"),
        (["--bands", "1", "--band-names", "red"], "another way to say --bands"),
    ],
)
@pytest.mark.parametrize("command", ENDS)
def test_what_cannot_be_shown_is_wrong_usage(geoseg, world, command, wrong, told):
    outcome = geoseg(command, world / "ortho.tif", "-o", world / (command + ENDS[command]), *wrong)

    assert outcome.code == 2
    assert told in " ".join(outcome.err.split())


def test_bands_are_not_chosen_where_there_is_only_one(geoseg, world):
    mask, out = world / "reference.tif", world / "preview.png"

    outcome = geoseg("preview", mask, "-o", out, "--bands", "9")

    assert outcome.code == 1
    assert "reference.tif: has one band or a palette, and bands 9 cannot be chosen" in outcome.err
    assert not out.exists()
    assert geoseg("preview", world / "ortho.tif", mask, "-o", out, "--bands", "3,2,1").code == 0
