"""Counts topics: every committed record once, each topic further from where the last count ended."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from confluent_kafka import Message

from penstock.errors import DataError
from penstock.ledger.identity import Cut, Place, by_place, identify
from penstock.ledger.kafka_reader import KafkaReader, TopicFacts
from penstock.ledger.letters import DeadLetter, LetterCount, letter_of
from penstock.ledger.tally import Tallies, Tally
from penstock.stream import headers
from penstock.stream.port import TIMESTAMP_MS, TopicPartition

Progress = Callable[[str, int, int], None]
"""Called with what is being counted, how many of its offsets are behind, and how many there are."""

FIRST_RECORDS = 500
DISORDER_MS = 5 * 60 * 1000
"""How far the records of one partition may be out of order in time: dedup's grace bounds what is not `late`."""


class Counter(Protocol):
    """What is done with the records of one topic as they are read, at most `together` at once."""

    together: int

    async def add(self, records: Sequence[Message], topic_id: str) -> None: ...

    def read(self) -> dict[str, Tally]: ...


class LetterDecoder(Protocol):
    """`penstock.schema.codec.Decoder`, for dead letters."""

    def prepare(self, values: Sequence[bytes | None]) -> Awaitable[None]: ...

    def decode(self, value: bytes | None) -> Mapping[str, Any]: ...


class TopicCount:
    """One topic, its counter, and how far it has been counted."""

    def __init__(self, reader: KafkaReader, facts: TopicFacts, starts: Mapping[TopicPartition, int], counter: Counter):
        """`starts` has the first offset of every partition of the topic."""
        self._reader = reader
        self._facts = facts
        self._next = {tp: starts[tp] for tp in facts.partitions}
        self._counter = counter

    async def advance(self, progress: Progress) -> None:
        """Counts on up to the end of what is committed now.

        Raises:
            TransientError, SystemFaultError: as KafkaReader; what was counted so far is of no use any more.
        """
        ends = await self._reader.ends(self._facts.partitions)
        todo = sum(end - self._next[tp] for tp, end in ends.items())
        done = 0
        async for records in self._reader.read(self._next, ends, chunk=self._counter.together):
            await self._counter.add(records, self._facts.topic_id)
            done += len(records)
            progress(self._facts.topic, done, todo)
        self._next = ends

    def read(self) -> dict[str, Tally]:
        return self._counter.read()


class HeaderCounter:
    """Counts records by headers and timestamps; values are not looked at."""

    together = 20_000

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._tallies = Tallies()

    async def add(self, records: Sequence[Message], topic_id: str) -> None:
        cut, add = self._cut, self._tallies.add
        for record in records:
            if record.timestamp()[TIMESTAMP_MS] in cut:
                add(*_identified(record, topic_id))

    def read(self) -> dict[str, Tally]:
        return self._tallies.read()


class LetterCounter:
    """Counts the dead letters of one stage by what is inside them: their topic has times of its own."""

    together = 200  # a letter may be as large as the largest event, and is decoded whole

    def __init__(self, cut: Cut, decoder: LetterDecoder) -> None:
        self._cut = cut
        self._decoder = decoder
        self._letters = LetterCount()

    async def add(self, records: Sequence[Message], topic_id: str) -> None:
        """A letter that cannot be read is counted as `unknown`, by its own place: it must not go unseen."""
        for record, letter in zip(records, await decode_letters(records, self._decoder), strict=True):
            own = place_of(record, topic_id)
            if letter is None:
                self._letters.tallies.add(*by_place(own))
            elif letter.timestamp_ms in self._cut:
                self._letters.add(letter, own)

    def read(self) -> dict[str, Tally]:
        return self._letters.tallies.read()


def _identified(record: Message, topic_id: str) -> tuple[str, int]:
    try:
        found = headers.of(record)  # type: ignore[arg-type]  # a fetched message has an offset
    except DataError:
        return by_place(place_of(record, topic_id))  # as the dead letter about it is
    return identify(found, partial(place_of, record, topic_id))


def place_of(record: Message, topic_id: str) -> Place:
    return Place(topic_id, record.partition() or 0, record.offset() or 0)


async def decode_letters(records: Sequence[Message], decoder: LetterDecoder) -> list[DeadLetter | None]:
    """The letters in these records, None for one that cannot be read.

    Raises:
        TransientError: the schema registry is away.
    """
    values = [record.value() for record in records]
    await decoder.prepare(values)
    letters: list[DeadLetter | None] = []
    for record, value in zip(records, values, strict=True):
        try:
            fields = decoder.decode(value)
        except DataError:
            letters.append(None)
        else:
            letters.append(letter_of(fields, record.topic() or "", record.partition() or 0, record.offset() or 0))
    return letters


async def first_times(
    reader: KafkaReader, begins: Mapping[TopicPartition, int], retention_ms: Mapping[str, int | None], now_ms: int
) -> dict[TopicPartition, int]:
    """From when on each partition holds every record, in ms; only partitions of which something was deleted.

    Where records are left: the highest time among the first of them and a margin, since those before may be a little
    younger. Where none is left: the time that the topic's retention reaches back to, if it has one.
    """
    cut = {tp: begin for tp, begin in begins.items() if begin > 0}
    ends = await reader.ends(list(cut))
    first = {tp: min(ends[tp], begin + FIRST_RECORDS) for tp, begin in cut.items()}
    held: dict[TopicPartition, int] = {}
    async for records in reader.read(cut, first, chunk=FIRST_RECORDS):
        for record in records:
            at = TopicPartition(record.topic() or "", record.partition() or 0)
            held[at] = max(held.get(at, 0), record.timestamp()[TIMESTAMP_MS] + DISORDER_MS)
    for tp in cut:
        kept_ms = retention_ms[tp.topic]
        if tp not in held and kept_ms is not None:
            held[tp] = now_ms - kept_ms
    return held
