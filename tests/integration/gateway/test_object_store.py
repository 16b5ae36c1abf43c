"""The gateway's look at an object store, on a real S3 endpoint."""

from collections.abc import Iterator

import pytest

from penstock.clock import SystemClock
from penstock.errors import TransientError
from services.gateway.object_store import ObjectStoreProbe
from tests.integration.sink.s3_server import make_bucket, s3_server

pytestmark = pytest.mark.integration


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with s3_server() as port:
        make_bucket(port, "here")
        for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        yield


@pytest.mark.usefixtures("s3")
async def test_a_bucket_answers_and_one_that_is_not_there_does_not() -> None:
    await ObjectStoreProbe("s3://here/lake", SystemClock())()
    with pytest.raises(TransientError, match="a look at it failed"):
        await ObjectStoreProbe("s3://gone/lake", SystemClock())()
