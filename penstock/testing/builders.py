"""Records for tests, one line each. What is not said is plausible and the same every time."""

from collections.abc import Sequence

from penstock.stream.port import Headers, Outgoing
from penstock.testing.loop_clock import START_MS
from penstock.testing.record import CREATE_TIME, MemoryRecord


def record(
    value: bytes | None = b"",
    *,
    topic: str = "events.raw",
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    timestamp_ms: int = START_MS,
) -> MemoryRecord:
    """A record as a handler gets it."""
    return MemoryRecord(topic, partition, offset, key, value, tuple(headers), (CREATE_TIME, timestamp_ms))


def batch(*values: bytes | None, topic: str = "events.raw", partition: int = 0, first: int = 0) -> list[MemoryRecord]:
    """Records at offsets `first`, `first + 1`, ..., a millisecond apart."""
    return [
        record(value, topic=topic, partition=partition, offset=first + at, timestamp_ms=START_MS + first + at)
        for at, value in enumerate(values)
    ]


def outgoing(
    topic: str,
    value: bytes | None = b"",
    *,
    key: bytes | None = None,
    headers: Headers | None = None,
    timestamp_ms: int = START_MS,
    partition: int = -1,
) -> Outgoing:
    """A record to be written."""
    return Outgoing(topic, key, value, headers or [], timestamp_ms, partition)
