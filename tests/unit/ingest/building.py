"""A publisher in memory, and an acceptor whose randomness counts up."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import orjson

from penstock.errors import PenstockError
from penstock.event import Event
from penstock.fingerprint import Fingerprinter
from penstock.stream.port import Outgoing
from services.ingest.accept import Acceptor
from tests.unit.event_of_record import event_of_record

KEY = bytes(range(32))
NOW_MS = 1_763_700_000_000
FRAME = b"\0\0\0\0\7"


class MemoryPublisher:
    """Takes everything, or answers with what `refuse` says about a record."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.batches: list[int] = []
        self.errors: list[PenstockError | None] = []
        """Answers for the next records, in their order; then acks."""

    async def publish(self, batch: Sequence[Outgoing]) -> list[PenstockError | None]:
        self.batches.append(len(batch))
        answers = [self.errors.pop(0) if self.errors else None for _ in batch]
        self.records += [record for record, error in zip(batch, answers, strict=True) if error is None]
        return answers

    @property
    def events(self) -> list[Event]:
        return [event_of(record) for record in self.records]


def encode(record: Mapping[str, Any]) -> bytes:
    """JSON in the framing of Avro: what a test can read."""
    return FRAME + orjson.dumps(record)


def event_of(record: Outgoing) -> Event:
    assert record.value is not None
    return event_of_record(orjson.loads(record.value[len(FRAME) :]))


def acceptor() -> Acceptor:
    numbers = count(1)
    return Acceptor(Fingerprinter(KEY), encode, lambda size: next(numbers).to_bytes(8, "big") * (size // 8))


class HandClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ms = NOW_MS
        self.s = 1_000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s


def posted(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"source": "shop", "id": str(number), "kind": "post", "occurred_at": 1_420_070_400_000, **fields}
