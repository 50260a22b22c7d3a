"""Buckets of S3, Google and Azure, by obstore (``[cloud]``), with the credentials that GDAL has."""

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from geoseg.errors import GeosegError, InputError, OutputError, OutputExistsError
from geoseg.raster.paths import GdalName, redact

BUCKET = re.compile(r"(s3|gs|az)://([^/]+)/*(.*?)/*", re.IGNORECASE)
"""Names in buckets: scheme, bucket or container, key."""

HTTP = re.compile(r"(https?://)(?:([^/@:]*)(?::([^/@]*))?@)?(.*)", re.IGNORECASE)
"""URL on a server: scheme, user, password, and all else."""

RETRIES = {"max_retries": 5, "retry_timeout": timedelta(minutes=5)}

TIMEOUT = "10m"
"""Of a request; it sends 5 MB at most."""

NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist|\b404\b")
"""Of an answer: there is no such bucket."""

MAX_REASON_LENGTH = 300

YES = {"yes", "true", "on", "1"}


def is_in_bucket(path: Path) -> bool:
    """Whether it is the name of an object, or folder, of a bucket."""
    return isinstance(path, GdalName) and BUCKET.fullmatch(path.written) is not None


def parts_of(url: GdalName) -> tuple[str, str, str]:
    """Scheme, bucket and key."""
    found = BUCKET.fullmatch(url.written)
    if found is None:
        raise ValueError(f"{url} is in no bucket")
    return found[1].lower(), found[2], found[3]


def store_of(url: GdalName) -> Any:
    """The bucket of a name, with the credentials of the environment that GDAL uses too.

    Raises:
        OutputError: If obstore is missing, or the settings are wrong.
    """
    scheme, bucket, _ = parts_of(url)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise OutputError(
            f"{url}: buckets need obstore; install it with `pip install 'geoseg[cloud]'`"
        ) from error
    environ = {name: value for name, value in os.environ.items() if value}
    client: Any = {"timeout": TIMEOUT, "allow_http": True}  # of an endpoint that says http
    common: dict[str, Any] = {"retry_config": RETRIES, "client_options": client}
    try:
        if scheme == "s3":
            return S3Store(bucket, config=s3_config(environ), **common)
        if scheme == "gs":
            config: Any = {"skip_signature": True} if _is_yes(environ, "GS_NO_SIGN_REQUEST") else {}
            return GCSStore(bucket, config=config, **common)
        return AzureStore(bucket, config=azure_config(environ), **common)
    except (BaseError, ValueError) as error:
        raise OutputError(f"{url}: {_reason(error)}") from error


def s3_config(environ: Mapping[str, str]) -> Any:
    """What obstore must be told of GDAL's settings of S3; it knows the other variables itself.

    >>> s3_config({"AWS_NO_SIGN_REQUEST": "YES", "AWS_REGION": "eu-west-1"})
    {'skip_signature': True}
    """
    config: dict[str, Any] = {}
    if _is_yes(environ, "AWS_NO_SIGN_REQUEST"):
        config["skip_signature"] = True
    elif "AWS_ACCESS_KEY_ID" not in environ:
        config |= _of_profile(environ)
    if _is_yes(environ, "AWS_VIRTUAL_HOSTING"):
        config["virtual_hosted_style_request"] = True
    if environ.get("AWS_REQUEST_PAYER", "").lower() == "requester":
        config["request_payer"] = True
    return config


def azure_config(environ: Mapping[str, str]) -> Any:
    """What obstore must be told of GDAL's settings of Azure; it knows the others itself.

    >>> azure_config({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;AccountKey=x=="})
    {'account_name': 'me', 'account_key': 'x=='}
    """
    text = environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    told = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    config: dict[str, Any] = {
        "account_name": told.get("AccountName", environ.get("AZURE_STORAGE_ACCOUNT")),
        "account_key": told.get("AccountKey"),
        "sas_key": told.get("SharedAccessSignature"),
        "endpoint": told.get("BlobEndpoint"),
        "skip_signature": _is_yes(environ, "AZURE_NO_SIGN_REQUEST") or None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _of_profile(environ: Mapping[str, str]) -> dict[str, str]:
    """Keys and region of a profile of ``aws configure``."""
    home = Path("~/.aws").expanduser()
    profile = environ.get("AWS_PROFILE", environ.get("AWS_DEFAULT_PROFILE", "default"))
    found: dict[str, str] = {}
    for path, section in (
        (environ.get("AWS_CONFIG_FILE", home / "config"), f"profile {profile}"),
        (environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"), profile),
    ):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
        for name in (section, profile) if profile == "default" else (section,):
            found |= dict(parser[name]) if parser.has_section(name) else {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region")
    known = {name.removeprefix("aws_"): found[name] for name in names if name in found}
    if "AWS_REGION" in environ or "AWS_DEFAULT_REGION" in environ:
        known.pop("region", None)
    return known


def _is_yes(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() in YES


def is_there(url: GdalName) -> bool:
    """Whether there is an object of that name.

    Raises:
        OutputError: If the bucket cannot be asked.
    """
    with talking(url):
        return exists(store_of(url), parts_of(url)[2])


def exists(store: Any, key: str) -> bool:
    """Whether a bucket has an object."""
    import obstore

    try:
        obstore.head(store, key)
    except FileNotFoundError:
        return False
    return True


def keys_below(store: Any, key: str) -> list[str]:
    """Keys of the objects in a folder of a bucket."""
    import obstore

    return [each["path"] for page in obstore.list(store, key or None) for each in page]


def refuse_missing_bucket(url: GdalName) -> None:
    """Say early that there is no such bucket; whether it may be written to is seen at the end."""
    store = store_of(url)
    import obstore
    from obstore.exceptions import BaseError

    try:
        next(iter(obstore.list(store, "geoseg", chunk_size=1)), None)
    except (BaseError, OSError) as error:  # whoever may write need not be allowed to list
        if NO_BUCKET.search(reason := _reason(error)):
            raise OutputError(f"{url}: the bucket refuses: {reason}") from error


def read_object(name: GdalName) -> bytes:
    """The whole content of a file on a server, such as a list.

    Raises:
        InputError: If it cannot be read, or is neither a URL nor in a bucket.
    """
    if is_in_bucket(name):
        _, _, key = parts_of(name)
        with talking(name, InputError):
            import obstore

            return bytes(obstore.get(store_of(name), key).bytes())
    from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithPriorAuth, build_opener

    found = HTTP.fullmatch(name.written)
    if found is None:
        raise InputError(
            f"{name}: can be read from https:// URLs and s3://, gs:// and az:// buckets alone"
        )
    scheme, user, password, rest = found.groups()
    known = HTTPPasswordMgrWithPriorAuth()
    if user:
        known.add_password(None, scheme + rest, user, password or "", is_authenticated=True)
    try:
        with build_opener(HTTPBasicAuthHandler(known)).open(scheme + rest, timeout=60) as answer:
            return bytes(answer.read())
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read: {redact(str(error))}") from error


@contextmanager
def talking(url: GdalName, kind: type[GeosegError] = OutputError) -> Iterator[None]:
    """Turn failures of obstore into an error that names the object."""
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError as error:
        raise OutputExistsError(f"{url} exists by now; use --overwrite to replace it") from error
    except (BaseError, OSError, ValueError) as error:
        raise kind(f"{url}: the bucket refuses: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What obstore says, on one line."""
    said = redact(str(error).partition("\n\nDebug source")[0])
    code = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", said, re.DOTALL)
    status = re.search(r"status code: (\d+ [\w ]+)", said)
    told = f"{code[1]}: {code[2]}" if code else status[1] if status else said
    return " ".join(told.split())[:MAX_REASON_LENGTH]
