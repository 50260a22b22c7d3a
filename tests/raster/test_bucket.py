"""Buckets: what is read from them, and with which credentials."""

import pytest

from geoseg.errors import InputError
from geoseg.raster import translate_endpoint
from geoseg.raster.bucket import azure_config, read_object, s3_config
from geoseg.raster.paths import parse_name


def test_lists_are_read_from_buckets(bucket):
    bucket.put("list.txt", b"a.tif")

    assert read_object(parse_name(f"s3://{bucket.name}/list.txt")) == b"a.tif"
    with pytest.raises(InputError, match=r"none.txt: the bucket refuses: .*key does not exist"):
        read_object(parse_name(f"s3://{bucket.name}/none.txt"))


def test_obstore_has_the_credentials_that_gdal_reads(tmp_path):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = other\n[work]\naws_access_key_id = me\n"
        "aws_secret_access_key = pass%word\n"
    )
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\n")
    environ = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_PROFILE": "work",
        "AWS_REQUEST_PAYER": "requester",
    }

    known = {"access_key_id": "me", "secret_access_key": "pass%word"}
    assert s3_config(environ) == known | {"region": "eu-west-1", "request_payer": True}
    assert s3_config(environ | {"AWS_REGION": "x"}) == known | {"request_payer": True}
    assert "access_key_id" not in s3_config(environ | {"AWS_ACCESS_KEY_ID": "env"})
    assert s3_config({"AWS_NO_SIGN_REQUEST": "YES"}) == {"skip_signature": True}
    assert azure_config({"AZURE_STORAGE_ACCOUNT": "me"}) == {"account_name": "me"}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (
            {"AWS_S3_ENDPOINT": "host:9000", "AWS_HTTPS": "NO"},
            {"AWS_ENDPOINT_URL": "http://host:9000"},
        ),
        ({"AWS_S3_ENDPOINT": "host"}, {"AWS_ENDPOINT_URL": "https://host"}),
        (
            {"AWS_ENDPOINT_URL": "https://host/"},
            {"AWS_S3_ENDPOINT": "host", "AWS_HTTPS": "YES", "AWS_VIRTUAL_HOSTING": "FALSE"},
        ),
        (
            {"AWS_ENDPOINT_URL": "https://host", "AWS_VIRTUAL_HOSTING": "TRUE"},
            {"AWS_S3_ENDPOINT": "host", "AWS_HTTPS": "YES"},
        ),
        ({}, {}),
    ],
)
def test_gdal_and_obstore_ask_the_same_endpoint(known, expected):
    environ = dict(known)

    translate_endpoint(environ)

    assert environ == known | expected
