"""The sink that the loop drives: buffers per partition, flushed together into one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.clock import Clock
from penstock.errors import DataError, PermanentError
from penstock.stream.handler import Dead, Flushed, RefusedError
from penstock.stream.port import Record, TopicPartition
from services.sink.intake import Intake
from services.sink.policy import Fill, FlushPolicy
from services.sink.postgres.columns import Cells, cells_of
from services.sink.postgres.store import CopyRefusedError, Span, Store


@dataclass(slots=True)
class _Buffer:
    """What is held of one partition. `start` is the offset that the database has, `seen` the next to come."""

    topic_id: str
    start: int
    seen: int
    rows: list[Cells] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    fill: Fill = field(default_factory=Fill)

    def restart(self, at: int) -> None:
        self.start = self.seen = at
        self.rows, self.records, self.fill = [], [], Fill()


class PostgresSink:
    """A `penstock.stream.handler.Sink` into the table `events`."""

    def __init__(self, intake: Intake, store: Store, policy: FlushPolicy, clock: Clock) -> None:
        self._intake = intake
        self._store = store
        self._policy = policy
        self._clock = clock
        self._buffers: dict[tuple[str, int], _Buffer] = {}

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        found = await self._store.positions(partitions, topic_ids)
        for partition, start in found.items():
            self._buffers[partition] = _Buffer(topic_ids[partition.topic], start, start)
        return found

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        await self._intake.prepare(batch)
        dead: list[Dead] = []
        now_s = self._clock.monotonic_s()
        for record in batch:
            buffer, offset = self._buffers[record.topic(), record.partition()], record.offset()
            if offset < buffer.seen:
                continue  # stored or held already
            buffer.seen = offset + 1
            try:
                buffer.rows.append(cells_of(self._intake.row(record, buffer.topic_id)))
            except DataError as error:
                dead.append(Dead(record, error))
                buffer.fill.add(0, 1, 0, now_s)
            else:
                buffer.records.append(record)
                buffer.fill.add(1, 0, len(record.value() or b""), now_s)
        return dead

    def due(self, now_s: float) -> Collection[TopicPartition]:
        return self._policy.due({TopicPartition(*at): buffer.fill for at, buffer in self._buffers.items()}, now_s)

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        spans = [self._span(partition, end) for partition, end in sorted(ends.items())]
        spans = [span for span in spans if span.end > span.start]
        try:
            offsets = await self._store.put(spans) if spans else {}
        except CopyRefusedError as error:
            raise await self._refusal(spans, error) from error
        flushed: dict[TopicPartition, Flushed] = {}
        for partition, end in ends.items():
            stands_at = offsets.get(partition, end)
            self._buffers[partition].restart(stands_at)
            flushed[partition] = Flushed(stands_at, ours=stands_at == end)
        return flushed

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._buffers.pop(partition, None)

    async def close(self) -> None:
        await self._store.close()

    def _span(self, partition: TopicPartition, end: int) -> Span:
        buffer = self._buffers[partition]
        if end < buffer.seen:
            raise PermanentError(
                f"{partition} was to be flushed up to offset {end}, while records up to {buffer.seen} are held: "
                "this is a fault in the loop"
            )
        return Span(partition, buffer.topic_id, buffer.start, end, buffer.rows)

    async def _refusal(self, spans: Sequence[Span], error: CopyRefusedError) -> Exception:
        """Takes what Postgres refuses out of the buffers; of all of them or, where the search is cut short, of none."""
        found = [(self._buffers[span.partition], dict(await self._store.refused(span.rows))) for span in spans]
        dead: list[Dead] = []
        for buffer, refused in found:
            for index, complaint in refused.items():
                reason = DataError("refused-by-postgres", f"Postgres cannot store it: {complaint}")
                dead.append(Dead(buffer.records[index], reason))
            buffer.rows = [row for index, row in enumerate(buffer.rows) if index not in refused]
            buffer.records = [record for index, record in enumerate(buffer.records) if index not in refused]
            buffer.fill.rows -= len(refused)
            buffer.fill.dead += len(refused)
        if not dead:
            return PermanentError(
                f"Postgres refuses to store {sum(len(span.rows) for span in spans)} events together "
                f"({error.__cause__}), and takes each of them alone: this is a fault in the sink or in the tables"
            )
        return RefusedError(dead)
