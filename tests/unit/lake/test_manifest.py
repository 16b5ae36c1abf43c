"""The manifest's format."""

import pytest

from penstock.errors import PermanentError
from penstock.lake.layout import Chain
from penstock.lake.manifest import LakeFile, Manifest

CHAIN = Chain("events.scored", "dGhlLXRvcGljLWlkLTAwMQ", 3)
FILE = LakeFile("events/source=a/date=2015-01-01/hour=00/x.parquet", 5, 1234, "a", "2015-01-01", 0)
MANIFEST = Manifest(CHAIN, 10, 20, "0123abcd", 1_420_070_400_000, (FILE,))


def test_what_is_written_is_read_again() -> None:
    assert Manifest.decode(MANIFEST.encode(), MANIFEST.path) == MANIFEST
    assert MANIFEST.path == "manifests/events.scored/dGhlLXRvcGljLWlkLTAwMQ/3/00000000000000000010.json"
    assert MANIFEST.rows == 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a manifest"),
        (b"[]", "is not a manifest"),
        (MANIFEST.encode()[:-5], "is not a manifest"),
        (MANIFEST.encode().replace(b'"rows"', b'"lines"'), "is not a manifest"),
        (MANIFEST.encode().replace(b'"format": 1', b'"format": 2'), "a newer Penstock wrote it"),
        (MANIFEST.encode().replace(b'"end": 20', b'"end": 9'), "copied or renamed"),
        (MANIFEST.encode().replace(b'"partition": 3', b'"partition": 4'), "copied or renamed"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_its_path(content: bytes, says: str) -> None:
    with pytest.raises(PermanentError, match=says) as refused:
        Manifest.decode(content, MANIFEST.path)
    assert MANIFEST.path in str(refused.value)
