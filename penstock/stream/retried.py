"""A dead letter on its way back: what `penstock dlq retry` adds to a record, and its stage takes off again.

A record of retry.<stage> has the time at which it was sent back, since a topic that keeps seven days would drop an old
one at once. Its ingest time, which days, hours and the ledger go by, stands in a header. What a stage makes of such a
record looks as if it had never been away.
"""

from collections.abc import Iterable

from penstock.errors import DataError
from penstock.stream import headers
from penstock.stream.port import TIMESTAMP_MS, Headers, Record

TOPICS = "retry."
"""What the names of topics for dead letters that are sent back begin with."""

_ADDED = frozenset({headers.RETRY_COUNT, headers.INGEST_TIME})
_LONGEST_TIME = 20


def added(found: Headers, count: int, ingest_time_ms: int | None) -> Headers:
    """The headers of a dead letter's original as they go back: `count` says how often that has happened, this time
    included; the ingest time is None where it is still to be set."""
    stated: Headers = [(headers.RETRY_COUNT, b"%d" % count)]
    if ingest_time_ms is not None:
        stated.append((headers.INGEST_TIME, b"%d" % ingest_time_ms))
    return taken_off(found) + stated


def taken_off(found: Headers) -> Headers:
    return [(name, value) for name, value in found if name not in _ADDED]


def ingest_time_ms(record: Record) -> int:
    """When ingest accepted the record: its Kafka timestamp, and on the way back what the header says."""
    if record.topic().startswith(TOPICS):
        stated = stated_ingest_time_ms(_readable(record))
        if stated is not None:
            return stated
    return record.timestamp()[TIMESTAMP_MS]


def stated_ingest_time_ms(found: Iterable[tuple[str, bytes | None]]) -> int | None:
    """What the last such header says, in ms since 1970-01-01 UTC; None where there is none that can be read."""
    stated = headers.last(found, headers.INGEST_TIME)
    if not stated or len(stated) > _LONGEST_TIME:
        return None
    try:
        return int(stated)
    except ValueError:
        return None


def onward(record: Record) -> Headers:
    """The record's headers as they go on to the next topic.

    Raises:
        DataError: `bad-headers`, as `headers.of`.
    """
    found = headers.of(record)
    return taken_off(found) if record.topic().startswith(TOPICS) else found


def _readable(record: Record) -> Headers:
    try:
        return headers.of(record)
    except DataError:
        return []
