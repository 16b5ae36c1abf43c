"""Sends dead letters back to their stage or throws them away, each once, with a record of who did it.

One run of it, in this order; each number stands again beside the code that does it:

 1. survey: read what was settled already, and which letters are wanted up to the present end; nothing is written
 2. become the only one: all runs share one transactional id, so a run that begins fences the one before it
 3. read what was settled up to that moment; nothing can be settled any more but by this run
 4. for each portion of letters one transaction: the records that go back, and the audit's record of them
 5. after a purge: delete the beginning of each topic as far as all of it is settled

A run that is killed leaves whole transactions, or an open one that the next run has aborted in 2. Whoever runs the
command again begins at 3 with what was committed, and so sends no letter back twice.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock import failpoints
from penstock.clock import Clock
from penstock.dlq.summary import Summary
from penstock.dlq.way_back import Refusal, WayBack, refusal, sent_back
from penstock.errors import PenstockError, PermanentError, TransientError
from penstock.ledger import audit
from penstock.ledger.audit import Action, Command, Settled, SettledLetter
from penstock.ledger.dead import Wanted
from penstock.ledger.decoding import Decoders, decode_actions, decode_letters
from penstock.ledger.identity import Place
from penstock.ledger.kafka_reader import TopicFacts
from penstock.ledger.letters import DeadLetter
from penstock.stream.port import Broker, Outcome, Outgoing, Record, TopicPartition

TRANSACTIONAL_ID = "penstock.dlq"
Progress = Callable[[str, int, int], None]
"""Called with the topic that is read, how many of its offsets are behind, and how many there are."""

_READ = 200
"""Records of one read; a dead letter may be as large as the largest event."""
_PORTION = 500
_PORTION_BYTES = 2 * 1024 * 1024
"""Of one transaction."""
_COMMIT_DEADLINE_S = 8.0
_COMMIT_PAUSE_S = 0.1


class TakenOverError(PenstockError):
    """Another run has begun meanwhile."""


def _illegible(record: Record) -> PermanentError:
    return PermanentError(
        f"{record.topic()}[{record.partition()}] at offset {record.offset()} cannot be read, so what it settled is not"
        " known. Is this the schema registry it was written with? What something else than Penstock wrote there has to"
        " be deleted from the topic first"
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, by whom.

    `run` is a name of this run, `filters` the words that chose the letters; both go into the audit.
    """

    command: Command
    wanted: Wanted
    who: str
    run: str
    filters: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Stage to its way back, and how many times a stage may have tried a letter that goes back once more."""

    ways: Mapping[str, WayBack]
    max_attempts: int


class Settlement:
    """
    Args:
        broker: its producer is `TRANSACTIONAL_ID`; it needs no group.
        facts: of dlq.audit and of the dead letters' topics.
        encode: an audit record's fields to framed Avro.
    """

    def __init__(
        self,
        broker: Broker,
        facts: Mapping[str, TopicFacts],
        decoders: Decoders,
        encode: Callable[[Mapping[str, object]], bytes],
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._facts = facts
        self._decoders = decoders
        self._encode = encode
        self._rules = rules
        self._clock = clock
        self._settled = Settled()
        self._audited: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def survey(self, order: Order, progress: Progress) -> Summary:
        """What `carry_out` would do now.

        Raises:
            TransientError: Kafka or the schema registry is away.
            PermanentError: a record of the audit cannot be read.
        """
        await self._read_audit()  # 1.
        partitions = [tp for stage in order.wanted.of_stages() for tp in self._facts[f"dlq.{stage}"].partitions]
        self._ends = dict(await self._broker.end_offsets(partitions))
        summary = Summary()
        async for stage, letters in self._portions(order, summary, progress):
            summary.settle(stage, (settled for _, settled in letters))
        return summary

    async def carry_out(self, order: Order, summary: Summary, progress: Progress) -> None:
        """Settles the letters that `survey` saw and that can still be settled. `summary` tells how far it has come.

        Raises:
            TakenOverError: another run has begun; what the summary says is done.
            TransientError: Kafka or the registry is away. What the summary says is done; of one portion more that is
                unknown. Run the command again.
        """
        await self._broker.renew()  # 2.
        await self._read_audit()  # 3.
        async for stage, letters in self._portions(order, summary, progress):
            await self._settle(order, stage, letters)  # 4.
            summary.settle(stage, (settled for _, settled in letters))
        if order.command is Command.PURGE:
            await self._delete(order, summary)  # 5.

    async def _read_audit(self) -> None:
        partitions = self._facts[audit.TOPIC].partitions
        begins, ends = await self._broker.begin_offsets(partitions), await self._broker.end_offsets(partitions)
        for tp in partitions:
            async for records in self._read(tp, self._audited.get(tp, begins[tp]), ends[tp]):
                actions = await decode_actions(records, self._decoders.actions)
                for record, action in zip(records, actions, strict=True):
                    if action is None:
                        raise _illegible(record)
                    self._settled.add(action)
            self._audited[tp] = ends[tp]

    async def _portions(
        self, order: Order, summary: Summary, progress: Progress
    ) -> AsyncIterator[tuple[str, list[tuple[DeadLetter, SettledLetter]]]]:
        """The letters to be settled, a transaction's worth at once; tells the summary of the others."""
        for stage in order.wanted.of_stages():
            portion: list[tuple[DeadLetter, SettledLetter]] = []
            size_bytes = 0
            chosen: set[Place] = set()
            async for letter in self._letters(stage, order.wanted, summary, progress):
                settled = SettledLetter.of(letter, self._facts[letter.dlq_topic].topic_id)
                if settled.place in chosen:
                    continue  # another letter of the same original
                if not self._may_settle(order, letter, settled.place, summary):
                    continue
                chosen.add(settled.place)
                portion.append((letter, settled))
                size_bytes += len(letter.value or b"") + sum(len(value or b"") for _, value in letter.headers)
                if len(portion) >= _PORTION or size_bytes >= _PORTION_BYTES:
                    yield stage, portion
                    portion, size_bytes = [], 0
            if portion:
                yield stage, portion

    async def _letters(
        self, stage: str, wanted: Wanted, summary: Summary, progress: Progress
    ) -> AsyncIterator[DeadLetter]:
        partitions = self._facts[f"dlq.{stage}"].partitions
        begins = await self._broker.begin_offsets(partitions)
        named = [name for name in wanted.ids if name.startswith(f"{stage}/")]
        for tp in partitions:
            start, end = begins[tp], self._ends[tp]
            if wanted.ids:
                offsets = [int(at) for at in (name.split("/")[2] for name in named if int(name.split("/")[1]) == tp[1])]
                start, end = max(start, min(offsets, default=end)), min(end, max(offsets, default=-1) + 1)
            first = start
            async for records in self._read(tp, start, end):
                for letter in await decode_letters(records, self._decoders.letters):
                    if letter is None:
                        summary.unreadable += 1
                    elif letter in wanted:
                        summary.names.update({letter.id}.intersection(wanted.ids))
                        yield letter
                progress(tp.topic, records[-1].offset() + 1 - first, end - first)

    def _may_settle(self, order: Order, letter: DeadLetter, place: Place, summary: Summary) -> bool:
        if self._settled.of(place) is not None:
            summary.before += 1
            return False
        if order.command is Command.RETRY and (refused := self._refusal(letter)) is not None:
            summary.refuse(letter, refused)
            return False
        return True

    def _refusal(self, letter: DeadLetter) -> Refusal | None:
        way = self._rules.ways.get(letter.stage)
        return refusal(letter, way, self._rules.max_attempts, self._clock.now_ms())

    async def _settle(self, order: Order, stage: str, letters: Sequence[tuple[DeadLetter, SettledLetter]]) -> None:
        now_ms = self._clock.now_ms()
        action = Action(
            order.command, order.run, order.who, now_ms, stage, order.filters, tuple(settled for _, settled in letters)
        )
        output = [Outgoing(audit.TOPIC, None, self._encode(action.to_record()), [], now_ms)]
        if order.command is Command.RETRY:
            output += [sent_back(letter, self._rules.ways[stage], now_ms) for letter, _ in letters]
        await self._broker.begin()
        await self._broker.produce(output, {})
        failpoints.hit("dlq.before-commit")
        await self._commit(len(letters))
        self._settled.add(action)
        failpoints.hit("dlq.after-commit")

    async def _commit(self, letters: int) -> None:
        deadline_s = self._clock.monotonic_s() + _COMMIT_DEADLINE_S
        outcome = await self._broker.commit({}, None)
        while outcome is Outcome.UNKNOWN and self._clock.monotonic_s() < deadline_s:
            await asyncio.sleep(_COMMIT_PAUSE_S)
            outcome = await self._broker.commit({}, None)
        again = "run the command again, it takes up only what is not settled yet"
        match outcome:
            case Outcome.ABORTED:
                raise TransientError(f"the broker rolled back the last {letters:,} letters; {again}")
            case Outcome.FENCED:
                raise TakenOverError(
                    f"the last {letters:,} letters were not settled: another `penstock dlq` command has begun, or the"
                    f" brokers were away for too long; {again}"
                )
            case Outcome.UNKNOWN:
                raise TransientError(f"whether the last {letters:,} letters were settled is unknown; {again}")

    async def _delete(self, order: Order, summary: Summary) -> None:
        """A topic gives its records up only from its beginning: up to the first letter that nothing was done with."""
        partitions = [tp for stage in order.wanted.of_stages() for tp in self._facts[f"dlq.{stage}"].partitions]
        begins, ends = await self._broker.begin_offsets(partitions), await self._broker.end_offsets(partitions)
        before = {tp: await self._first_resting(tp, begins[tp], ends[tp]) for tp in partitions}
        before = {tp: offset for tp, offset in before.items() if offset > begins[tp]}
        failpoints.hit("dlq.before-delete")
        await self._broker.delete_records(before)
        summary.deleted.update(before)

    async def _first_resting(self, tp: TopicPartition, begin: int, end: int) -> int:
        topic_id = self._facts[tp.topic].topic_id
        async for records in self._read(tp, begin, end):
            letters = await decode_letters(records, self._decoders.letters)
            for record, letter in zip(records, letters, strict=True):
                if letter is None or self._settled.of(letter.place(topic_id)) is None:
                    return record.offset()
        return end

    async def _read(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        while start < end:
            records = await self._broker.read(tp, start, end, _READ)
            if not records:
                return
            yield records
            start = records[-1].offset() + 1
