"""Finds dead letters, and what was done with them: what `penstock dlq list | show | audit` print."""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from penstock.ledger import audit
from penstock.ledger.accounts import ALL_STAGES
from penstock.ledger.audit import Action, Done, Settled
from penstock.ledger.decoding import Decoders, RecordDecoder, decode_actions, decode_letters
from penstock.ledger.kafka_reader import KafkaReader
from penstock.ledger.letters import DeadLetter

TOPICS: Mapping[str, str] = {f"dlq.{stage}": f"dlq.{stage}" for stage in ALL_STAGES} | {"audit": audit.TOPIC}
_CHUNK = 200
"""Letters held at once: each may be as large as the largest event."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; an empty collection and None leave all through. Times are about when the stage gave up, the first
    included, the last not; `ids` are names as in `DeadLetter.id`."""

    stages: Collection[str] = ()
    reasons: Collection[str] = ()
    categories: Collection[str] = ()
    sources: Collection[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    ids: Collection[str] = ()

    def __contains__(self, letter: DeadLetter) -> bool:
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.categories or letter.category in self.categories)
            and (not self.sources or letter.source in self.sources)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_at_ms < self.until_ms)
            and (not self.ids or letter.id in self.ids)
        )

    def of_stages(self) -> list[str]:
        """The stages whose letters have to be looked at, in flow order."""
        named = {name.partition("/")[0] for name in self.ids} or ALL_STAGES
        return [stage for stage in ALL_STAGES if stage in named and (not self.stages or stage in self.stages)]


@dataclass(frozen=True, slots=True)
class Found:
    """The last of the letters that were wanted, by the time the stage gave up; how many there are in all; and how
    many letters cannot be read themselves.

    `settled` has what was done with those of `letters` that were sent back or thrown away, by their names; `hidden` is
    how many others of those were left out.
    """

    letters: tuple[DeadLetter, ...]
    count: int
    unreadable: int
    settled: Mapping[str, Done] = field(default_factory=dict)
    hidden: int = 0


async def find(
    reader: KafkaReader,
    decoders: Decoders,
    wanted: Wanted,
    limit: int,
    *,
    with_settled: bool = False,
    topics: Mapping[str, str] = TOPICS,
) -> Found:
    """Reads the dead-letter topics of the wanted stages from their start to their present end.

    Letters that were settled are left out, unless asked for.

    Raises:
        TransientError: Kafka or the schema registry is away.
        SystemFaultError: a topic does not exist.
    """
    settled = Settled()
    for action in await read_actions(reader, decoders.actions, topics["audit"]):
        settled.add(action)
    facts = await reader.facts([topics[f"dlq.{stage}"] for stage in wanted.of_stages()])
    last: list[tuple[DeadLetter, Done | None]] = []
    count = unreadable = hidden = 0
    for fact in facts.values():
        newest: deque[tuple[DeadLetter, Done | None]] = deque(maxlen=limit)
        begins, ends = await reader.begins(fact.partitions), await reader.ends(fact.partitions)
        async for records in reader.read(begins, ends, chunk=_CHUNK):
            for letter in await decode_letters(records, decoders.letters):
                if letter is None:
                    unreadable += 1
                elif letter in wanted:
                    done = settled.of(letter.place(fact.topic_id))
                    if done is not None and not with_settled:
                        hidden += 1
                        continue
                    count += 1
                    newest.append((letter, done))
        last.extend(newest)
    last.sort(key=lambda one: one[0].failed_at_ms)
    shown = last[-limit:]
    by_name = {letter.id: done for letter, done in shown if done is not None}
    return Found(tuple(letter for letter, _ in shown), count, unreadable, by_name, hidden)


async def read_actions(reader: KafkaReader, decoder: RecordDecoder, topic: str = audit.TOPIC) -> list[Action]:
    """Everything that was done with dead letters, oldest first; what cannot be read is left out.

    Raises:
        TransientError, SystemFaultError: as `find`.
    """
    fact = (await reader.facts([topic]))[topic]
    begins, ends = await reader.begins(fact.partitions), await reader.ends(fact.partitions)
    actions: list[Action] = []
    async for records in reader.read(begins, ends, chunk=_CHUNK):
        actions += [action for action in await decode_actions(records, decoder) if action is not None]
    return actions
