"""The runtime with one mechanism taken out: what the simulation has to catch, each and every one.

A checker that never failed proves nothing.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from obstore.exceptions import AlreadyExistsError

from penstock.stream.assignment import Assignment
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Asking, Output
from penstock.stream.loop import Loop
from penstock.stream.port import (
    Broker,
    Event,
    Lost,
    Membership,
    Outcome,
    Outgoing,
    Polled,
    Record,
    Revoked,
    TopicPartition,
)
from penstock.stream.restore import Restore
from penstock.stream.sink_loop import SinkLoop
from services.dedup.state import SeenState
from services.sink.postgres.store import Span
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.report import Report, replay
from tests.simulation.simulate import simulate
from tests.simulation.stores import Database, FaultyObjects, FaultyTable
from tests.simulation.world import Built


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    Args:
        without: the mechanism that is missing.
        shows: what goes wrong because of it, a regular expression; another failure does not count as caught.
    """

    scenario: str
    without: str
    shows: str
    built: Built


class KeepsStale(Assignment):
    def fresh(self, polled: Polled) -> Sequence[Record]:
        return polled.records


class DropsDeadLetters(Loop):
    async def _produce(self, records: Collection[Record], output: Output, membership: Membership | None) -> None:
        output.dead.clear()
        await super()._produce(records, output, membership)


class ProducesOutsideTheTransaction(FaultyBroker):
    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        await self._process.enter("produce")
        self._process.cluster.send(
            [
                *batch,
                *(
                    Outgoing(topic, r.key(), r.value(), r.headers() or [], r.timestamp()[1])
                    for topic, records in forward.items()
                    for r in records
                ),
            ]
        )
        await self._process.leave("produce")


class CommitsOffsetsAfterwards(FaultyBroker):
    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        outcome = await super().commit({}, membership)
        if outcome is Outcome.COMMITTED:
            await self._process.enter("commit")
            self._process.cluster.group_offsets(self._inner.group or "").commit(offsets)
        return outcome


class NeverTold(SeenState):
    def committed(self) -> None:
        """Not told."""


class ToldTooSoon(SeenState):
    def checkpoint(self, topic_id: str, positions: Mapping[int, int]) -> Sequence[Outgoing]:
        written = super().checkpoint(topic_id, positions)
        super().committed()
        return written


class NeverUndoes(SeenState):
    def undo(self) -> None:
        """Forgets to."""


class NoChangelog(FaultyBroker):
    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        await super().produce([out for out in batch if out.topic != "dedup.seen"], forward)


class ChangelogOutside(FaultyBroker):
    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        seen = [out for out in batch if out.topic == "dedup.seen"]
        self._process.cluster.send(seen)
        await super().produce([out for out in batch if out.topic != "dedup.seen"], forward)


class FreshMembership(FaultyBroker):
    def committing_as(self, membership: Membership | None) -> Membership | None:
        return self._inner.membership


class NoSeekAfterAbort(Loop):
    async def _undo(self, why: str, without: Collection[TopicPartition] = ()) -> None:
        self._touched.clear()
        await super()._undo(why, without)


class AsksWithoutGivingBack(Loop):
    async def _ask(self, handler: Asking, records: Sequence[Record]) -> None:
        await self._commit()
        await handler.ask(records)


class UnknownIsCommitted(FaultyBroker):
    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        outcome = await super().commit(offsets, membership)
        return Outcome.COMMITTED if outcome is Outcome.UNKNOWN else outcome

    async def begin(self) -> None:
        await self._process.enter("begin")
        if not self._inner.in_transaction:
            await self._inner.begin()


class UnknownIsAborted(FaultyBroker):
    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        outcome = await super().commit(offsets, membership)
        if outcome is Outcome.UNKNOWN:
            await self.renew()
            return Outcome.ABORTED
        return outcome


class FencedIsAborted(FaultyBroker):
    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        outcome = await super().commit(offsets, membership)
        if outcome is Outcome.FENCED:
            await self.renew()
            return Outcome.ABORTED
        return outcome


class RestoresTooLittle(FaultyBroker):
    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {tp: max(0, end - 2) for tp, end in (await super().end_offsets(partitions)).items()}


class RestoresTooMuch(FaultyBroker):
    """Reads to the end of the log, whatever became of the transactions there, or may still become of them."""

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        await super().end_offsets(partitions)
        return {tp: self._process.cluster.log(tp).high_watermark for tp in partitions}

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        await super().read(partition, start, end, max_records)
        return self._process.cluster.log(partition).uncommitted(start, end)[:max_records]


class NoCheckOfTheNextOffset(Restore):
    """Goes on with whatever the changelog held when it was first read."""

    async def _check(self, tp, changelog, replay, state):  # type: ignore[no-untyped-def]  # private to the runtime
        state.restored(tp.partition)
        self.topic_ids[tp.topic] = await self._broker.topic_id(tp.topic)
        state.begin(tp.partition, self.topic_ids[tp.topic])
        del self._replays[tp]
        await self._resume({tp: replay.committed})


class AcksBeforeItCommits(FaultyBroker):
    async def poll(self, max_records: int, timeout_s: float) -> Event:
        event = await super().poll(max_records, timeout_s)
        if isinstance(event, Revoked):
            event.ack()
        return event


class CommitsWhatIsLost(FaultyBroker):
    async def poll(self, max_records: int, timeout_s: float) -> Event:
        event = await super().poll(max_records, timeout_s)
        if isinstance(event, Lost):
            return Revoked(event.partitions, lambda: None)
        return event


class NeverRestores(Restore):
    async def _replay(self, tp, state):  # type: ignore[no-untyped-def]  # private to the runtime
        self.topic_ids[tp.topic] = await self._broker.topic_id(tp.topic)
        state.begin(tp.partition, self.topic_ids[tp.topic])
        await self._start([tp])


class DeletesTooMuch(SeenState):
    def expired(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        return ends


class BuriesAfterwards(SinkLoop):
    """The store commits past dead letters that nobody has acked yet."""

    async def _bury(self) -> None:
        """Not yet."""

    async def _tell_group(self) -> None:
        if self._live:
            await super()._bury()
        await super()._tell_group()


class NeverTells(SinkLoop):
    async def _tell_group(self) -> None:
        """Does not."""


class TellsWithoutAsking(FaultyBroker):
    """Commits a sink's offsets as anybody may: the group does not ask who owns a partition."""

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        outcome = await super().commit({}, membership)
        if outcome is Outcome.COMMITTED:
            self._process.cluster.group_offsets(self._inner.group or "").commit(offsets)
        return outcome


class TellsOnlyWhatItStored(SinkLoop):
    async def _start(self) -> None:
        untold = dict(self._untold)
        await super()._start()
        self._untold = untold


class GroupDecides(SinkLoop):
    """Goes on where the group says, not where the store does."""

    async def _start(self) -> None:
        starting = list(self._assignment.starting)
        await super()._start()
        if starting and not self._assignment.starting:
            committed = await self._broker.stable_offsets(starting)
            await self._broker.seek({tp: offset for tp, offset in committed.items() if offset is not None})


class OldIds(DeadLetters):
    def reads(self, topic_ids: Mapping[str, str]) -> None:
        """Sticks to what was so at the start."""


class LettersOfOldIds(SinkLoop):
    async def _start(self) -> None:
        self._dead_letters.__class__ = OldIds
        await super()._start()


class GoesOnWhereItWas(SinkLoop):
    """Told that somebody else had committed, it does not seek to where the store stands."""

    async def _flush(self, partitions: Collection[TopicPartition]) -> None:
        broker = self._broker
        self._broker = cast("Broker", Seekless(broker))
        try:
            await super()._flush(partitions)
        finally:
            self._broker = broker


class Seekless:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> object:
        return getattr(self._broker, name)

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Does not."""


class TwoTransactions(FaultyTable):
    """The offsets first, then the rows."""

    async def transact(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        database = self._database
        ours = [s for s in spans if database.offsets[s.topic_id, s.partition.partition] == s.start]
        now = database.transact([Span(s.partition, s.topic_id, s.start, s.end, []) for s in spans])
        await self._process.enter("table.put")
        for span in ours:
            database.insert(span)
        return now


class ManifestFirst(FaultyObjects):
    """The manifest is created, then the files that it names are written."""

    async def put(self, path: str, content: bytes, *, create: bool) -> None:
        if not create:
            self.waiting[path] = content
            return
        try:
            await super().put(path, content, create=True)
        finally:
            waiting, self.waiting = self.waiting, {}
        for file, rows in waiting.items():
            await super().put(file, rows, create=False)


class AnyManifestIsOurs(FaultyObjects):
    async def put(self, path: str, content: bytes, *, create: bool) -> None:
        try:
            await super().put(path, content, create=create)
        except AlreadyExistsError:
            return


class NoTopicIds(Database):
    by_id = False


class NoCompareAndSet(Database):
    compares = False


class UidIsNoKey(Database):
    uid_is_key = False


class Unconditional(FaultyObjects):
    conditional = False


_LOST = r"lost \[\d"
_DOUBLED = r"doubled or never sent \[\d"
_CHANGELOG = "ends with next input offset"
MUTANTS = {
    # The loop between topics, by its numbered steps.
    "stale": Mutant("copy", "1: dropping what is stale", _DOUBLED, Built(assignment=KeepsStale)),
    "letters": Mutant("copy", "2: dead letters", f"dead letters: {_LOST}", Built(loop=DropsDeadLetters)),
    "outside": Mutant("copy", "3: producing in the transaction", _DOUBLED, Built(broker=ProducesOutsideTheTransaction)),
    "afterwards": Mutant("copy", "4: the offsets in the transaction", _DOUBLED, Built(broker=CommitsOffsetsAfterwards)),
    "no-changelog": Mutant("dedup", "4: the changelog", _CHANGELOG, Built(broker=NoChangelog)),
    "changelog": Mutant("dedup", "4: the changelog in the transaction", _CHANGELOG, Built(broker=ChangelogOutside)),
    "never-told": Mutant("dedup", "5: telling the state", f"{_LOST}|{_DOUBLED}", Built(state=NeverTold)),
    "told-too-soon": Mutant("dedup", "5: telling the state only now", _LOST, Built(state=ToldTooSoon)),
    # What it does when things go wrong.
    "never-undoes": Mutant("dedup", "the undo log", _LOST, Built(state=NeverUndoes)),
    "no-seek": Mutant("copy", "the seek after an abort", _LOST, Built(loop=NoSeekAfterAbort)),
    "asks": Mutant("copy", "the seek before a handler asks", f"{_LOST}|not done", Built(loop=AsksWithoutGivingBack)),
    "membership": Mutant("copy", "the captured membership", _DOUBLED, Built(broker=FreshMembership)),
    "unknown-committed": Mutant(
        "copy", "commit again on unknown", f"{_LOST}|not done", Built(broker=UnknownIsCommitted)
    ),
    "unknown-aborted": Mutant("copy", "commit again on unknown", _DOUBLED, Built(broker=UnknownIsAborted)),
    "fenced-aborted": Mutant("copy", "starting over from the stable offset", _DOUBLED, Built(broker=FencedIsAborted)),
    "acks-first": Mutant("copy", "committing before a revocation's ack", _DOUBLED, Built(broker=AcksBeforeItCommits)),
    "commits-lost": Mutant("copy", "rolling lost partitions back", _DOUBLED, Built(broker=CommitsWhatIsLost)),
    # Its state.
    "never-restores": Mutant("dedup", "the restore", _DOUBLED, Built(restore=NeverRestores)),
    "too-little": Mutant("dedup", "restoring up to the LSO", _CHANGELOG, Built(broker=RestoresTooLittle)),
    "too-much": Mutant("dedup", "restoring up to the LSO, and no further", _LOST, Built(broker=RestoresTooMuch)),
    "unchecked": Mutant("dedup", "the check of the next input offset", _DOUBLED, Built(restore=NoCheckOfTheNextOffset)),
    "deletes-all": Mutant("dedup", "keeping what a live window needs", _CHANGELOG, Built(state=DeletesTooMuch)),
    # The loop into a store, by its numbered steps.
    "sink-stale": Mutant("s3", "1: dropping what is stale", f"{_LOST}|KeyError", Built(assignment=KeepsStale)),
    "buries-after": Mutant(
        "postgres", "2: dead letters before the store", f"dead letters: {_LOST}", Built(sink_loop=BuriesAfterwards)
    ),
    "two-transactions": Mutant("postgres", "3: rows and offset together", _LOST, Built(table=TwoTransactions)),
    "manifest-first": Mutant("s3", "3: files before the manifest", "names a file", Built(objects=ManifestFirst)),
    "goes-on": Mutant(
        "s3", "4: the seek to where another stopped", f"{_LOST}|not done", Built(sink_loop=GoesOnWhereItWas)
    ),
    "never-tells": Mutant("postgres", "5: telling the group", "not done", Built(sink_loop=NeverTells)),
    "tells-anyhow": Mutant("postgres", "5: telling it by a transaction", "not done", Built(broker=TellsWithoutAsking)),
    # What else a sink relies on.
    "group-decides": Mutant(
        "postgres", "starting where the store says", f"{_LOST}|was stored as|held", Built(sink_loop=GroupDecides)
    ),
    "tells-later": Mutant(
        "postgres", "telling the group on assignment", "not done", Built(sink_loop=TellsOnlyWhatItStored)
    ),
    "old-ids": Mutant(
        "recreated-postgres", "a dead letter's present topic id", "from elsewhere", Built(sink_loop=LettersOfOldIds)
    ),
    "no-topic-id": Mutant("recreated-postgres", "offsets by topic id", "not done|lost", Built(database=NoTopicIds)),
    "no-compare": Mutant(
        "postgres", "compare-and-set of the offsets", "more than once", Built(database=NoCompareAndSet)
    ),
    "uid-no-key": Mutant("postgres", "the uid as key", _DOUBLED, Built(database=UidIsNoKey)),
    "unconditional": Mutant("s3", "If-None-Match", f"does not begin|{_LOST}", Built(objects=Unconditional)),
    "anybodys": Mutant("s3", "reading who wrote the manifest", f"{_LOST}|not done", Built(objects=AnyManifestIsOurs)),
}


def hunt(name: str, mutant: Mutant, most: int, report: Report) -> None:
    """Runs seed after seed until one shows what is missing."""
    others: dict[str, int] = {}
    for seed in range(most):
        result = simulate(mutant.scenario, seed, built=mutant.built)
        report.runs += 1
        report.simulated_s += result.simulated_s
        if re.search(mutant.shows, result.error):
            again = f"  again: {replay(result, name)}"
            report.caught = f"{name}: caught by seed {seed}, without {mutant.without}: {result.error[:300]}\n{again}"
            return
        if result.error:
            others[result.error] = seed
    report.failures.append(f"{name}: NOT caught by {most} seeds, without {mutant.without}; instead: {others}")
