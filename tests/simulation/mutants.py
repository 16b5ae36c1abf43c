"""The runtime with one mechanism taken out: what the simulation has to catch, each and every one.

A checker that never failed proves nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from penstock.stream.assignment import Assignment
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
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.stores import Database, FaultyObjects
from tests.simulation.world import Built


@dataclass(frozen=True, slots=True)
class Mutant:
    """Args:
    without: the mechanism that is missing.
    """

    scenario: str
    without: str
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


class RestoresHalf(FaultyBroker):
    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        found = await super().read(partition, start, end, max_records)
        return found[: len(found) // 2]


class NoCheckOfTheNextOffset(Restore):
    """Goes on with whatever the changelog held when it was first read."""

    async def _check(self, tp, changelog, replay, state):  # type: ignore[no-untyped-def]  # private to the runtime
        state.restored(tp.partition)
        self.topic_ids[tp.topic] = await self._broker.topic_id(tp.topic)
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
        await self._start([tp])


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


class NoCompareAndSet(Database):
    compares = False


class UidIsNoKey(Database):
    uid_is_key = False


class Unconditional(FaultyObjects):
    conditional = False


MUTANTS = {
    "stale": Mutant("copy", "dropping what is of a stale generation", Built(assignment=KeepsStale)),
    "letters": Mutant("copy", "step 2: the dead letters", Built(loop=DropsDeadLetters)),
    "outside": Mutant("copy", "step 3: producing inside the transaction", Built(broker=ProducesOutsideTheTransaction)),
    "afterwards": Mutant("copy", "step 4: the offsets in the transaction", Built(broker=CommitsOffsetsAfterwards)),
    "no-changelog": Mutant("dedup", "step 4: the changelog", Built(broker=NoChangelog)),
    "changelog": Mutant("dedup", "step 4: the changelog in the transaction", Built(broker=ChangelogOutside)),
    "never-told": Mutant("dedup", "step 5: telling the state", Built(state=NeverTold)),
    "never-undoes": Mutant("dedup", "the undo log", Built(state=NeverUndoes)),
    "membership": Mutant("copy", "the captured membership", Built(broker=FreshMembership)),
    "no-seek": Mutant("copy", "the seek after an abort", Built(loop=NoSeekAfterAbort)),
    "asks": Mutant("copy", "the seek before a handler asks", Built(loop=AsksWithoutGivingBack)),
    "unknown-committed": Mutant("copy", "committing again on unknown", Built(broker=UnknownIsCommitted)),
    "unknown-aborted": Mutant("copy", "committing again on unknown", Built(broker=UnknownIsAborted)),
    "fenced-aborted": Mutant("copy", "starting over from the stable offset", Built(broker=FencedIsAborted)),
    "restores-half": Mutant("dedup", "restoring up to the last stable offset", Built(broker=RestoresHalf)),
    "never-restores": Mutant("dedup", "the restore", Built(restore=NeverRestores)),
    "unchecked": Mutant("dedup", "the check of the next input offset", Built(restore=NoCheckOfTheNextOffset)),
    "acks-first": Mutant("copy", "committing before the ack of a revocation", Built(broker=AcksBeforeItCommits)),
    "no-compare": Mutant("postgres", "compare-and-set of the offsets", Built(database=NoCompareAndSet)),
    "uid-no-key": Mutant("postgres", "the uid as key", Built(database=UidIsNoKey)),
    "unconditional": Mutant("s3", "If-None-Match", Built(objects=Unconditional)),
    "goes-on": Mutant("s3", "the seek to where somebody else committed", Built(sink_loop=GoesOnWhereItWas)),
    "commits-lost": Mutant("copy", "rolling lost partitions back", Built(broker=CommitsWhatIsLost)),
}
