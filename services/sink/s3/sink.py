"""The sink that the loop drives: buffers per partition, each flushed on its own into files and a manifest."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext

from obstore.store import ObjectStore

from penstock.clock import Clock
from penstock.dependency import Attempting
from penstock.errors import DataError, PermanentError, TransientError
from penstock.lake.chain import end_of
from penstock.lake.layout import Chain
from penstock.stream.handler import Dead, Flushed
from penstock.stream.port import Record, TopicPartition
from services.sink.intake import Intake
from services.sink.policy import FlushPolicy
from services.sink.s3.buffer import Buffer
from services.sink.s3.writer import Writer


class S3Sink:
    """A `penstock.stream.handler.Sink` into the lake.

    Args:
        timeout_s: for a flush, and for finding the ends of chains.
        attempting: goes around both.
    """

    def __init__(
        self,
        intake: Intake,
        store: ObjectStore,
        writer: Writer,
        policy: FlushPolicy,
        clock: Clock,
        *,
        timeout_s: float,
        attempting: Attempting = nullcontext,
    ) -> None:
        self._intake = intake
        self._store = store
        self._writer = writer
        self._policy = policy
        self._clock = clock
        self._timeout_s = timeout_s
        self._attempting = attempting
        self._buffers: dict[tuple[str, int], Buffer] = {}
        self._unsaid: set[TopicPartition] = set()
        """Flushed beside one that failed: the caller has not heard of it yet."""

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        chains = {
            partition: Chain(partition.topic, topic_ids[partition.topic], partition.partition)
            for partition in partitions
        }
        async with self._attempting():
            found = await self._ends(chains)
        for partition, start in found.items():
            self._buffers[partition] = Buffer(chains[partition], start, start)
        return found

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        await self._intake.prepare(batch)
        dead: list[Dead] = []
        now_s = self._clock.monotonic_s()
        for record in batch:
            buffer, offset = self._buffers[record.topic(), record.partition()], record.offset()
            if offset < buffer.seen:
                continue  # in the lake or held already
            buffer.seen = offset + 1
            try:
                buffer.add(self._intake.row(record, buffer.chain.topic_id))
            except DataError as error:
                dead.append(Dead(record, error))
                buffer.fill.add(0, 1, 0, now_s)
            else:
                buffer.fill.add(1, 0, len(record.value() or b""), now_s)
        return dead

    def due(self, now_s: float) -> Collection[TopicPartition]:
        fills = {TopicPartition(*at): buffer.fill for at, buffer in self._buffers.items()}
        return self._policy.due(fills, now_s) | self._unsaid

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        """Partitions are committed side by side; when some fail, the others stand, and say so in the next flush."""
        async with self._attempting():
            return await self._flush_all(ends)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._buffers.pop(partition, None)
            self._unsaid.discard(partition)

    async def close(self) -> None:
        pass

    async def _ends(self, chains: Mapping[TopicPartition, Chain]) -> dict[TopicPartition, int]:
        try:
            async with asyncio.timeout(self._timeout_s):
                ends = await asyncio.gather(*(end_of(self._store, chain) for chain in chains.values()))
        except TimeoutError as error:
            raise TransientError(f"the object store did not list its manifests in {self._timeout_s:g} s") from error
        return dict(zip(chains, ends, strict=True))

    async def _flush_all(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        outcomes = await asyncio.gather(
            *(self._flush(partition, end) for partition, end in ends.items()), return_exceptions=True
        )
        flushed: dict[TopicPartition, Flushed] = {}
        failure: BaseException | None = None
        for (partition, end), outcome in zip(ends.items(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                failure = failure or outcome
                continue
            flushed[partition] = Flushed(outcome, ours=outcome == end)
        for partition, done in flushed.items():
            # One that has to be read again from elsewhere stays as it is until the caller hears of it.
            if failure is None or done.ours:
                self._buffers[partition].restart(done.next)
        if failure is not None:
            self._unsaid.update(partition for partition, done in flushed.items() if done.ours)
            raise failure
        self._unsaid.difference_update(flushed)
        return flushed

    async def _flush(self, partition: TopicPartition, end: int) -> int:
        buffer = self._buffers[partition]
        if end < buffer.seen:
            raise PermanentError(
                f"{partition} was to be flushed up to offset {end}, while records up to {buffer.seen} are held: "
                "this is a fault in the loop"
            )
        if end == buffer.start:
            return end
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._writer.commit(buffer.chain, buffer.start, end, list(buffer))
        except TimeoutError as error:
            raise TransientError(
                f"the object store did not take offsets {buffer.start} to {end} of {partition} in {self._timeout_s:g} s"
            ) from error
