def test_a_picture_is_drawn_of_rasters_side_by_side(geoseg, world):
    out = world / "preview.png"

    outcome = geoseg("preview", world / "ortho.tif", world / "reference.tif", "-o", out)

    assert outcome.code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert geoseg("preview", world / "ortho.tif", "-o", out).code == 1
