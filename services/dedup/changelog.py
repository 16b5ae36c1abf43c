"""dedup.seen: how first-seen entries are written beside the events they come from, and read back.

A record belongs to one partition of the input and to one transaction. Its value is entries as they stand in memory,
32 bytes each: fingerprint (16), timestamp in ms (8), offset of the first (8), little-endian. Its headers say to which
topic id the offsets belong, the next input offset and the watermark (decimal) once this transaction is in, and the
version of the fingerprint. A transaction writes at least one record for every partition it read from, without entries
if need be, so that the last record of a partition always says where its state stands.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from penstock.errors import DataError, PermanentError
from penstock.stream import headers
from penstock.stream.port import Headers, Outgoing, Record
from services.dedup.entries import ENTRY_BYTES, WORD, Words

TOPIC_ID = "topic-id"
NEXT_OFFSET = "next-offset"
WATERMARK = "watermark"

MAX_ENTRIES = 1 << 14
"""Of one record: 512 KiB, well below the topic's largest message."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition's state stands."""

    topic_id: str
    next_offset: int
    watermark: int


def write(
    topic: str, partition: int, parts: Iterable[Words], standing: Standing, fingerprint_version: int, now_ms: int
) -> Iterator[Outgoing]:
    """The records of one partition and transaction.

    Args:
        topic: the changelog.
        parts: new entries, in order.
        now_ms: the records' Kafka timestamp. Nothing goes by it.
    """
    stated: Headers = [
        (TOPIC_ID, standing.topic_id.encode()),
        (NEXT_OFFSET, b"%d" % standing.next_offset),
        (WATERMARK, b"%d" % standing.watermark),
        (headers.FINGERPRINT_VERSION, b"%d" % fingerprint_version),
    ]
    value = b"".join(part.tobytes() for part in parts)
    size = MAX_ENTRIES * ENTRY_BYTES
    for start in range(0, len(value) or 1, size):
        yield Outgoing(topic, None, value[start : start + size], stated, now_ms, partition)


def read(record: Record, fingerprint_version: int) -> Standing:
    """The headers of a changelog record.

    Raises:
        PermanentError: it is not one of ours, or was written with another version of the fingerprint.
    """
    where = f"{record.topic()}[{record.partition()}] offset {record.offset()}"
    try:
        stated = {name: value for name, value in headers.of(record) if value is not None}
        version = int(stated[headers.FINGERPRINT_VERSION])
        standing = Standing(stated[TOPIC_ID].decode(), int(stated[NEXT_OFFSET]), int(stated[WATERMARK]))
        whole = len(record.value() or b"") % ENTRY_BYTES == 0
    except (KeyError, ValueError, DataError) as error:
        raise PermanentError(
            f"{where} is not a changelog record: {error!r}. Only dedup may write this topic; if its records were"
            " changed by hand, restore topic and committed offsets from before that"
        ) from error
    if not whole:
        raise PermanentError(f"{where} is not a changelog record: {len(record.value() or b'')} bytes are no entries")
    if version != fingerprint_version:
        raise PermanentError(
            f"{where} was written with fingerprint version {version}, this dedup has version {fingerprint_version}:"
            " fingerprints of different versions never meet, so duplicates across the change would pass. Run the"
            " version it was written with; or, to accept that every event counts as new once, drain the input and"
            f" delete the records of {record.topic()}, with penstock.dedup's committed offsets back at those of its"
            " last records' next-offset"
        )
    return standing


def entries(records: Sequence[Record]) -> Words:
    """All the records' entries, `(n, 4)`, in order."""
    return np.frombuffer(b"".join([record.value() or b"" for record in records]), WORD).reshape(-1, 4)


class Retention:
    """Up to which changelog offset a partition's records are still needed.

    Dedup writes into a transaction and never learns at which offsets. But whatever lies below the changelog's end when
    the watermark is w is no newer than w. So (end, w) is noted now and then; once w has left the window, so has
    everything below that end. The last record always stays: a watermark that rose since was written behind the mark.

    Args:
        step_ms: how far the watermark moves between two notes.
    """

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._marks: deque[tuple[int, int]] = deque()

    def note(self, end: int, watermark: int) -> None:
        """Entries below changelog offset `end` are of `watermark` or earlier."""
        if not self._marks or watermark - self._marks[-1][1] >= self._step_ms:
            self._marks.append((end, watermark))

    def expired(self, dead_until_ms: int) -> int | None:
        """The offset below which no record is needed, where it rose since the last call."""
        expired = None
        while self._marks and self._marks[0][1] <= dead_until_ms:
            expired, _ = self._marks.popleft()
        return expired
