"""The headers every record carries from ingest to its last reader; handlers pass them on unchanged."""

from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from typing import Any, cast

from penstock.errors import DataError
from penstock.stream.handler import Dead
from penstock.stream.port import Headers, Record

UID = "uid"
"""`UID_BYTES` bytes, minted once when ingest accepts the record: its identity for the ledger and the sinks."""
UID_BYTES = 16
SOURCE = "source"
TRACEPARENT = "traceparent"
"""W3C Trace Context, https://www.w3.org/TR/trace-context/"""
OCCURRED_AT = "occurred-at"
"""Decimal milliseconds since 1970-01-01 UTC, as ASCII."""
FINGERPRINT_VERSION = "fingerprint-version"
RETRY_COUNT = "retry-count"
"""How often a dead letter was sent back to its stage, decimal ASCII; set by `penstock dlq retry` alone."""
INGEST_TIME = "ingest-time"
"""On the way back to its stage alone, set by `penstock dlq retry`: the original's Kafka timestamp, decimal milliseconds
since 1970-01-01 UTC as ASCII."""

CARRIED = frozenset({UID, SOURCE, TRACEPARENT, OCCURRED_AT, FINGERPRINT_VERSION, RETRY_COUNT})

_UNREADABLE: Headers = []
"""Takes the place of headers that cannot be read; known by its identity."""
_ask: Callable[[Record], Headers | None] = methodcaller("headers")
"""The interpreter checks the result of a call made from C. Of one in hot Python code it does not, and the client gives
a list while its exception is still set, which then comes up anywhere."""


def of(record: Record) -> Headers:
    """All headers, in the order they were written.

    Kafka's names are bytes, the client's are text: a name that is not UTF-8 has it break off in the middle, and a
    second look at what it holds then would end the interpreter. So an empty list takes the place of those headers.

    Raises:
        DataError: `bad-headers`, each time.
    """
    try:
        found = _ask(record)
    except SystemError:
        cast("Any", record).set_headers(_UNREADABLE)  # a record that fails so is the client's own
        found = _UNREADABLE
    if found is _UNREADABLE:
        raise DataError("bad-headers", "the name of a header is not UTF-8; none of its headers can be read")
    return found or []


def readable(records: Sequence[Record]) -> tuple[Sequence[Record], list[Dead]]:
    """The records whose headers can be read, and the dead ones."""
    try:
        for record in records:  # the hot path: headers are made once per record, whoever asks first
            if _ask(record) is _UNREADABLE:
                break
        else:
            return records, []
    except SystemError:
        cast("Any", record).set_headers(_UNREADABLE)
    sound, dead = list[Record](), list[Dead]()
    for record in records:
        try:
            of(record)
        except DataError as error:
            dead.append(Dead(record, error))
        else:
            sound.append(record)
    return sound, dead


def last(found: Iterable[tuple[str, bytes | None]], name: str) -> bytes | None:
    """The last header of that name (Kafka allows several); None where there is none."""
    value = None
    for key, content in found:
        if key == name:
            value = content
    return value


def get(record: Record, name: str) -> bytes | None:
    """The record's last header of that name; None where there is none.

    Raises:
        DataError: `bad-headers`, as `of`.
    """
    return last(of(record), name)
