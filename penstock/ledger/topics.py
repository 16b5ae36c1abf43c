"""Counts topics: every committed record once, each topic further from where the last count ended."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from confluent_kafka import Message

from penstock.errors import DataError
from penstock.ledger.decoding import RecordDecoder, decode_actions, decode_letters
from penstock.ledger.identity import Cut, Place, by_place, identify
from penstock.ledger.kafka_reader import KafkaReader, TopicFacts
from penstock.ledger.letter_count import LetterCount
from penstock.ledger.tally import Tallies, Tally
from penstock.stream import headers
from penstock.stream.port import TIMESTAMP_MS, Headers, TopicPartition
from penstock.stream.retried import stated_ingest_time_ms

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


def kafka_time_ms(record: Message) -> int:
    return record.timestamp()[TIMESTAMP_MS]


def retried_time_ms(record: Message) -> int:
    """The ingest time of a record of retry.<stage>: its own time is that of the retry."""
    stated = stated_ingest_time_ms(_headers_of(record) or ())
    return kafka_time_ms(record) if stated is None else stated


class HeaderCounter:
    """Counts records by headers and ingest times; values are not looked at."""

    together = 20_000

    def __init__(self, cut: Cut, time_ms: Callable[[Message], int] = kafka_time_ms) -> None:
        self._cut = cut
        self._time_ms = time_ms
        self._tallies = Tallies()

    async def add(self, records: Sequence[Message], topic_id: str) -> None:
        cut, time_ms, add = self._cut, self._time_ms, self._tallies.add
        for record in records:
            if time_ms(record) in cut:
                add(*_identified(record, topic_id))

    def read(self) -> dict[str, Tally]:
        return self._tallies.read()


class LetterCounter:
    """Counts the dead letters of one stage by what is inside them: their topic has times of its own."""

    together = 200  # a letter may be as large as the largest event, and is decoded whole

    def __init__(self, cut: Cut, decoder: RecordDecoder, letters: LetterCount) -> None:
        self._cut = cut
        self._decoder = decoder
        self._letters = letters

    async def add(self, records: Sequence[Message], topic_id: str) -> None:
        for record, letter in zip(records, await decode_letters(records, self._decoder), strict=True):
            own = place_of(record, topic_id)
            if letter is None:
                self._letters.add_unreadable(own)
            elif letter.timestamp_ms in self._cut:
                self._letters.add(letter, own)

    def read(self) -> dict[str, Tally]:
        return self._letters.dead()


class AuditCounter:
    """Counts the letters that were settled, stage by stage; has no account of its own."""

    together = 50

    def __init__(self, cut: Cut, decoder: RecordDecoder, letters: Mapping[str, LetterCount]) -> None:
        self._cut = cut
        self._decoder = decoder
        self._letters = letters

    async def add(self, records: Sequence[Message], topic_id: str) -> None:
        for action in await decode_actions(records, self._decoder):
            if action is not None and action.stage in self._letters:
                for letter in action.letters:
                    if letter.timestamp_ms in self._cut:
                        self._letters[action.stage].settle(action.command, letter)

    def read(self) -> dict[str, Tally]:
        return {}


def _identified(record: Message, topic_id: str) -> tuple[str, int]:
    found = _headers_of(record)
    if found is None:
        return by_place(place_of(record, topic_id))  # as the dead letter about it is
    return identify(found, partial(place_of, record, topic_id))


def _headers_of(record: Message) -> Headers | None:
    """None where they cannot be read."""
    try:
        return headers.of(record)  # type: ignore[arg-type]  # a fetched message has an offset
    except DataError:
        return None


def place_of(record: Message, topic_id: str) -> Place:
    return Place(topic_id, record.partition() or 0, record.offset() or 0)


async def first_times(
    reader: KafkaReader,
    begins: Mapping[TopicPartition, int],
    retention_ms: Mapping[str, int | None],
    by_ingest_time: Collection[str],
    now_ms: int,
) -> dict[TopicPartition, int]:
    """From when on each partition holds every record, in ms; only partitions of which something was deleted.

    That is the time to which the topic's retention reaches back, if it has one. Of the topics `by_ingest_time`, whose
    records' own time is their ingest time, somebody may have deleted more by hand: it is then the highest time among
    the first ones left and a margin, since those before may be a little younger. Dead letters are not looked at so:
    those that `penstock dlq purge` deletes stand in the audit, and whoever else deletes some has lost them.
    """
    cut = {tp: begin for tp, begin in begins.items() if begin > 0}
    held = {tp: now_ms - kept_ms for tp in cut if (kept_ms := retention_ms[tp.topic]) is not None}
    looked_at = {tp: begin for tp, begin in cut.items() if tp.topic in by_ingest_time}
    ends = await reader.ends(list(looked_at))
    first = {tp: min(ends[tp], begin + FIRST_RECORDS) for tp, begin in looked_at.items()}
    async for records in reader.read(looked_at, first, chunk=FIRST_RECORDS):
        for record in records:
            at = TopicPartition(record.topic() or "", record.partition() or 0)
            held[at] = max(held.get(at, 0), record.timestamp()[TIMESTAMP_MS] + DISORDER_MS)
    return held
