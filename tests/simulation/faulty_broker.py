"""The in-memory broker behind a bad line: every call of the port may be late, lost, repeated or the last one."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from penstock.errors import TransientError
from penstock.stream.port import Event, Lost, Membership, Outcome, Outgoing, Polled, Record, Revoked, TopicPartition
from penstock.testing import MemoryBroker
from tests.simulation.faults import Fault
from tests.simulation.process import Process
from tests.simulation.stepped import start_unowned

_HOW_OFTEN_UNKNOWN = 2
_FOR_EVER = 10_000


class FaultyBroker:
    """Implements the port by handing on to a MemoryBroker."""

    def __init__(self, process: Process, inner: MemoryBroker) -> None:
        self._process = process
        self._inner = inner
        self._unknown = 0
        self._late: asyncio.Task[Outcome] | None = None
        self._broken = False
        self._half_read: set[int] = set()
        process.owns(self)

    # -- what befalls the process that speaks through it -----------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    def freeze(self) -> None:
        self._inner.freeze()

    def thaw(self) -> None:
        self._inner.thaw()

    def hear(self) -> None:
        self._inner.heartbeat()

    def die(self) -> None:
        self._inner.freeze()
        self._interrupted([TopicPartition("", number) for number in self._half_read])

    # -- the port --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._process.enter("start")
        await self._inner.start()
        await self._process.leave("start")

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        await self._process.enter("poll")
        event = await self._inner.poll(max_records, timeout_s)
        await self._process.leave("poll")
        match event:
            case Polled(records):
                self._check_committed(records)
            case Revoked(partitions, ack):
                self._process.plan.meet(
                    f"revoked {'inside' if self._inner.in_transaction else 'outside'} a transaction"
                )
                self._interrupted(partitions)

                def ack_while_alive() -> None:
                    if not self._process.dead:
                        ack()

                return Revoked(partitions, ack_while_alive)
            case Lost(partitions):
                self._process.plan.meet(f"lost {'inside' if self._inner.in_transaction else 'outside'} a transaction")
                self._interrupted(partitions)
        return event

    def _interrupted(self, partitions: Collection[TopicPartition]) -> None:
        """What was being restored of these partitions is restored no further."""
        numbers = {tp.partition for tp in partitions}
        if self._half_read & numbers:
            self._process.plan.meet("a restore was interrupted")
        self._half_read -= numbers

    def _check_committed(self, records: Sequence[Record]) -> None:
        for record in records:
            log = self._process.cluster.log(TopicPartition(record.topic(), record.partition()))
            if not log.start <= record.offset() < log.high_watermark:
                continue  # read from a topic that was deleted since
            transaction = log.transaction_at(record.offset())
            assert transaction is None or transaction.committed, f"{record} was read, but it is not committed"

    async def begin(self) -> None:
        await self._process.enter("begin")
        await self._inner.begin()
        await self._process.leave("begin")

    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        fault = await self._process.enter("produce")
        if fault is not None and fault.kind.startswith("produce"):
            half = {topic: records[: len(records) // 2] for topic, records in forward.items()}
            await self._inner.produce(batch[: len(batch) // 2], half)
            if fault.kind.endswith("error"):
                raise TransientError("the connection broke in the middle of a batch, as planned")
            self._broken = True
            return
        await self._inner.produce(batch, forward)
        await self._process.leave("produce")

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        fault = await self._process.enter("commit")
        if self._broken:
            self._broken = False
            return await self._inner.abort()
        if self._late is not None:
            if not self._late.done():
                return Outcome.UNKNOWN
            outcome = self._late.result()
            self._late = None
            return outcome
        if self._unknown > 0:
            self._unknown -= 1
            return Outcome.UNKNOWN
        if fault is not None and fault.kind.startswith("commit") and self._inner.in_transaction:
            return await self._bad_commit(fault, offsets, membership)
        outcome = await self._inner.commit(offsets, self.committing_as(membership))
        self._process.plan.meet(f"a commit ended {outcome.value} by itself")
        await self._process.leave("commit")
        return outcome

    def committing_as(self, membership: Membership | None) -> Membership | None:
        """The membership that goes out with the request: the one that was captured."""
        return membership

    async def _bad_commit(
        self, fault: Fault, offsets: Mapping[TopicPartition, int], membership: Membership | None
    ) -> Outcome:
        match fault.kind.removeprefix("commit: "):
            case "request lost":
                self._unknown = _HOW_OFTEN_UNKNOWN if fault.length_s < 3 else _FOR_EVER
                return Outcome.UNKNOWN
            case "answer lost":
                outcome = await self._inner.commit(offsets, self.committing_as(membership))
                if outcome is not Outcome.COMMITTED:
                    return outcome
                self._unknown = _HOW_OFTEN_UNKNOWN if fault.length_s < 3 else _FOR_EVER
                return Outcome.UNKNOWN
            case "arrives late":
                self._late = start_unowned(self._commit_later(fault.length_s, offsets, membership))
                return Outcome.UNKNOWN
            case "refused":
                return await self._inner.abort()
            case "fenced, done":
                await self._inner.commit(offsets, self.committing_as(membership))
                return Outcome.FENCED
            case _:
                return Outcome.FENCED

    async def _commit_later(
        self, delay_s: float, offsets: Mapping[TopicPartition, int], membership: Membership | None
    ) -> Outcome:
        """On its way through the network: it arrives even when its sender is dead by then."""
        sender = self._inner.credentials
        await asyncio.sleep(delay_s)
        if self._inner.credentials != sender or not self._inner.in_transaction:
            return Outcome.FENCED
        return await self._inner.commit(offsets, self.committing_as(membership))

    async def abort(self) -> Outcome:
        fault = await self._process.enter("abort")
        self._broken = False
        if fault is not None and fault.kind == "abort: fenced":
            return Outcome.FENCED
        outcome = await self._inner.abort()
        await self._process.leave("abort")
        return outcome

    async def renew(self) -> None:
        await self._process.enter("renew")
        self._unknown, self._late, self._broken = 0, None, False
        self._interrupted([TopicPartition("", number) for number in self._half_read])
        await self._inner.renew()
        await self._process.leave("renew")

    async def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._inner.assign_at(offsets)

    async def pause(self, partitions: Collection[TopicPartition]) -> None:
        await self._process.enter("pause")
        await self._inner.pause(partitions)
        await self._process.leave("pause")

    async def resume(self, partitions: Collection[TopicPartition]) -> None:
        await self._process.enter("resume")
        await self._inner.resume(partitions)
        self._half_read -= {tp.partition for tp in partitions}
        await self._process.leave("resume")

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._process.enter("seek")
        await self._inner.seek(offsets)
        await self._process.leave("seek")

    async def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        await self._process.enter("positions")
        found = await self._inner.positions(partitions)
        await self._process.leave("positions")
        return found

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        await self._process.enter("stable_offsets")
        found = await self._inner.stable_offsets(partitions)
        await self._process.leave("stable_offsets")
        return found

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        await self._process.enter("end_offsets")
        found = await self._inner.end_offsets(partitions)
        await self._process.leave("end_offsets")
        return found

    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        await self._process.enter("begin_offsets")
        found = await self._inner.begin_offsets(partitions)
        await self._process.leave("begin_offsets")
        return found

    async def topic_id(self, topic: str) -> str:
        await self._process.enter("topic_id")
        found = await self._inner.topic_id(topic)
        await self._process.leave("topic_id")
        return found

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        await self._process.enter("read")
        found = await self._inner.read(partition, start, end, max_records)
        self._check_committed(found)
        if found:
            self._half_read.add(partition.partition)
        await self._process.leave("read")
        return found

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        await self._process.enter("delete_records")
        await self._inner.delete_records(before)
        await self._process.leave("delete_records")

    async def close(self) -> None:
        await self._process.enter("close")
        await self._inner.close()
        await self._process.leave("close")
