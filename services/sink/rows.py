"""From a record to a row: what both stores keep of it, and under which identity. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.errors import DataError
from penstock.stream import headers
from penstock.stream.port import Record
from penstock.stream.retried import ingest_time_ms

UNKNOWN = "unknown"
"""The source of a record that carries no uid or no source."""


class Row(NamedTuple):
    """One ScoredEvent as it is stored. Key of the store: the day of `ingested_at_ms` (UTC) and `uid`."""

    uid: bytes
    """16 bytes; for a record without uid or source `<topic id>/<partition>/<offset>`, whose hash the ledger takes."""
    source: str
    ingested_at_ms: int
    topic: str
    partition: int
    offset: int
    event: Mapping[str, Any]


def row_of(record: Record, event: Mapping[str, Any], topic_id: str) -> Row:
    """The row of a record whose value was decoded to `event`.

    Raises:
        DataError: the record has no ingest time, or headers that cannot be read.
    """
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    uid, source = _identity(record)
    if uid is None or not source:
        uid, source = f"{topic_id}/{partition}/{offset}".encode(), UNKNOWN
    ingested_at_ms = ingest_time_ms(record)
    if ingested_at_ms < 0:
        raise DataError("bad-timestamp", f"the record's ingest time is {ingested_at_ms} ms", field="ingested_at")
    return Row(uid, source, ingested_at_ms, topic, partition, offset, event)


def _identity(record: Record) -> tuple[bytes | None, str | None]:
    uid = source = None
    for name, value in headers.of(record):
        if name == headers.UID:
            uid = value
        elif name == headers.SOURCE:
            source = value
    if uid is not None and len(uid) != headers.UID_BYTES:
        uid = None
    return uid, None if source is None else source.decode("utf-8", "replace")
