"""The object store behind the lake, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import ObjectStore, from_url

from penstock.errors import PenstockError, PermanentError, SystemFaultError, TransientError

if TYPE_CHECKING:
    from obstore.store import S3Config

_REQUEST_TIMEOUT = timedelta(seconds=20)


def open_store(url: str, config: "S3Config | None" = None, *, make: bool = True) -> ObjectStore:
    """The store at `url`: `file:///folder`, `s3://bucket/prefix`, `gs://...`, `az://...`.

    A folder is made if absent, or with `make` False missed.

    Credentials and endpoints come from the environment as everywhere (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
    AWS_REGION, AWS_ALLOW_HTTP, ...); `config` overrides them. Nothing is contacted yet.

    Raises:
        SystemFaultError: the URL names no store, or a folder that is missed.
    """
    if not make and url.startswith("file:") and not (folder := Path(url2pathname(urlsplit(url).path))).is_dir():
        raise SystemFaultError(f"there is no folder {folder}: nothing was ever stored there")
    try:
        if url.startswith("file:"):
            return from_url(url, mkdir=True)
        return from_url(
            url,
            config=config,
            # Plain HTTP goes only to an endpoint that somebody gave as http://; all defaults are https.
            client_options={"timeout": _REQUEST_TIMEOUT, "connect_timeout": timedelta(seconds=5), "allow_http": True},
            # The loop around it repeats for as long as it takes; this only bridges a hiccup.
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )
    except (BaseError, ValueError, OSError) as error:
        raise SystemFaultError(
            f"PENSTOCK_OBJECT_STORE_URL={url} names no object store ({first_line(error)}): give a directory as "
            "file:///path, or a bucket as s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
        ) from error


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Raises what an object store raises inside as an error of ours; `doing` says what was being done.

    FileNotFoundError and AlreadyExistsError are answers, and pass.
    """
    try:
        yield
    except (FileNotFoundError, NotFoundError, AlreadyExistsError, PenstockError):
        raise
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise SystemFaultError(
            f"the object store refused {doing} ({first_line(error)}): check its credentials and policy"
        ) from error
    except (NotSupportedError, UnknownConfigurationKeyError) as error:
        raise PermanentError(f"this object store cannot do what {doing} needs: {first_line(error)}") from error
    except (BaseError, OSError) as error:
        raise TransientError(f"{doing} failed: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Obstore adds pages of debug output to its messages."""
    return (str(error).splitlines() or [type(error).__name__])[0]
