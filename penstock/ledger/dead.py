"""Finds dead letters: what `penstock dlq list | show` prints."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from penstock.ledger.accounts import OUTSIDE, STAGES
from penstock.ledger.kafka_reader import KafkaReader
from penstock.ledger.letters import DeadLetter
from penstock.ledger.topics import LetterDecoder, decode_letters

ALL_STAGES = (OUTSIDE, *STAGES)
_CHUNK = 200
"""Letters held at once: each may be as large as the largest event."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; an empty collection and None leave all through. `since_ms` is about when the stage gave up."""

    stages: Collection[str] = ()
    reasons: Collection[str] = ()
    sources: Collection[str] = ()
    since_ms: int | None = None
    ids: Collection[str] = ()

    def __contains__(self, letter: DeadLetter) -> bool:
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.sources or letter.source in self.sources)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (not self.ids or letter.id in self.ids)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The last of the letters that were wanted, by the time the stage gave up; how many there are in all; and how
    many letters cannot be read themselves."""

    letters: tuple[DeadLetter, ...]
    count: int
    unreadable: int


async def find(
    reader: KafkaReader,
    decoder: LetterDecoder,
    wanted: Wanted,
    limit: int,
    topic_of: Callable[[str], str] = "dlq.{}".format,
) -> Found:
    """Reads the dead-letter topics of the wanted stages from their start to their present end.

    Raises:
        TransientError: Kafka or the schema registry is away.
        SystemFaultError: a topic does not exist.
    """
    stages = [stage for stage in ALL_STAGES if not wanted.stages or stage in wanted.stages]
    facts = await reader.facts([topic_of(stage) for stage in stages])
    last: list[DeadLetter] = []
    count = unreadable = 0
    for fact in facts.values():
        newest: deque[DeadLetter] = deque(maxlen=limit)
        begins, ends = await reader.begins(fact.partitions), await reader.ends(fact.partitions)
        async for records in reader.read(begins, ends, chunk=_CHUNK):
            for letter in await decode_letters(records, decoder):
                if letter is None:
                    unreadable += 1
                elif letter in wanted:
                    count += 1
                    newest.append(letter)
        last.extend(newest)
    last.sort(key=lambda letter: letter.failed_at_ms)
    return Found(tuple(last[-limit:]), count, unreadable)
