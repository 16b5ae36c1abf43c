"""Reads events.scored without a group: all partitions, live, from shortly before the end; and history when asked.

Two brokers, since a read far back must not hold up what is new: one polls, the other reads history, one read after
the other, so that a crowd of clients far behind queues up instead of pressing on the broker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from penstock.clock import Clock
from penstock.errors import DataError, PenstockError, SystemFaultError, TransientError
from penstock.stream import headers
from penstock.stream.meter import Meter
from penstock.stream.port import TIMESTAMP_MS, Event, Polled, Record, TopicPartition
from services.gateway import messages
from services.gateway.feed import Item, Recent
from services.gateway.hub import Hub, QueueLimit

STAGE = "gateway"
_POLL_RECORDS = 2000
_POLL_S = 0.25
_READ_RECORDS = 500
_OFFSETS_EVERY_S = 1.0
_RETRY_S = 1.0
_PATIENCE_S = 4.0
"""A broker that misses one question is not an ill one; a dead one still shows well within ten seconds."""
_UNREADABLE = (DataError, ValueError, TypeError, OverflowError, KeyError)
"""Not only what the decoder refuses: a time beyond the year 9999 has no RFC 3339."""

T = TypeVar("T")


class Broker(Protocol):
    """What is needed of `penstock.stream.port.Broker`."""

    async def poll(self, max_records: int, timeout_s: float) -> Event: ...
    async def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def topic_id(self, topic: str) -> str: ...
    async def partitions(self, topic: str) -> int: ...
    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]: ...
    async def close(self) -> None: ...


class Decoder(Protocol):
    """What is needed of `penstock.schema.codec.Decoder`."""

    async def prepare(self, values: Iterable[bytes | None]) -> None: ...
    def decode(self, value: bytes | None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What is read, and how much of it is kept."""

    topic: str
    intake: str
    """Where events come in: not read, but how many were written there is looked at."""
    at_hand: QueueLimit
    """What is kept in memory for clients that are a little behind."""
    queue: QueueLimit
    """What one client may owe."""


class Reader:
    """
    Args:
        live: is polled.
        side: is asked for offsets, and read history from.
    """

    def __init__(self, live: Broker, side: Broker, decoder: Decoder, scope: Scope, meter: Meter, clock: Clock) -> None:
        self.hub: Hub | None = None
        """None until the topic was found and read up to its end."""
        self.topic_id = ""
        self.ends: Mapping[int, int] = {}
        self.begins: Mapping[int, int] = {}
        self.written: int | None = None
        """Records that were ever written to the intake, by whomever; None where that is not known."""
        self._live = live
        self._side = side
        self._decoder = decoder
        self._scope = scope
        self._meter = meter
        self._clock = clock
        self._reading = asyncio.Lock()
        self._trouble = "the topic was not read yet"
        self._well_s = -_PATIENCE_S
        """When the broker answered last."""
        self._log = structlog.get_logger(STAGE)

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes to the hub until it is told to stop.

        Raises:
            PenstockError: the topic is not there, or it lost what was to be read next.
        """
        hub = await self._until_answered(self._open, stop)
        if hub is None:
            return
        looking = asyncio.create_task(self._look_at_offsets(hub, stop))
        try:
            while not stop.is_set():
                event = await self._until_answered(lambda: self._live.poll(_POLL_RECORDS, _POLL_S), stop)
                self._meter.progress()
                if isinstance(event, Polled):
                    await self._publish(hub, event)
                if self.hub is None and all(hub.position[p] >= end for p, end in self.ends.items()):
                    self.hub = hub
                    self._meter.holds(self._of_topic(hub.position), ready=True)
        finally:
            looking.cancel()

    async def read(self, partition: int, start: int, end: int) -> tuple[list[Item], int]:
        """See `session.History.read`. Waits for its turn, and for a broker that is away."""
        tp = TopicPartition(self._scope.topic, partition)
        async with self._reading:
            while True:
                try:
                    records = await self._side.read(tp, start, end, _READ_RECORDS)
                    if (not records or records[0].offset() > start) and await self._begin(tp) > start:
                        return [], start  # forgotten meanwhile: whoever asked finds it in `begins`
                    break
                except TransientError as error:
                    self._meter.retried(error)
                    self._log.warning("history waits for the broker", partition=partition, error=str(error))
                    await asyncio.sleep(_RETRY_S)
            items = await self._items(records)
        return items, records[-1].offset() + 1 if records else end

    async def refresh(self) -> None:
        """See `session.History.refresh`."""
        assert self.hub is not None  # noqa: S101  nobody asks before
        while True:
            try:
                return await self._refresh_offsets(self.hub.position)
            except TransientError as error:
                self._meter.retried(error)
                self._log.warning("a cursor waits for the broker", error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def probe(self) -> None:
        """Raises TransientError if the broker has not answered for some seconds; asks nothing itself."""
        if self._clock.monotonic_s() - self._well_s > _PATIENCE_S:
            raise TransientError(self._trouble)

    async def close(self) -> None:
        await self._live.close()
        await self._side.close()

    async def _open(self) -> Hub:
        """Finds the topic and begins to read it as far before its end as is kept in memory."""
        partitions = range(await self._side.partitions(self._scope.topic))
        self.topic_id = await self._side.topic_id(self._scope.topic)
        await self._refresh_offsets(partitions)
        share = self._scope.at_hand.events // len(partitions)
        start = {p: max(self.begins[p], self.ends[p] - share) for p in partitions}
        await self._live.assign_at({TopicPartition(self._scope.topic, p): offset for p, offset in start.items()})
        kept = Recent(start, max_events=self._scope.at_hand.events, max_bytes=self._scope.at_hand.size_bytes)
        return Hub(kept, self._scope.queue)

    async def _until_answered(self, ask: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
        """What `ask` gets, once the broker is there; None if it is told to stop before."""
        while not stop.is_set():
            try:
                return await ask()
            except TransientError as error:
                self._trouble = str(error)
                self._meter.retried(error)
                self._log.warning("waiting for the broker", error=str(error))
                await asyncio.sleep(_RETRY_S)
                self._meter.progress()
        return None

    async def _look_at_offsets(self, hub: Hub, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._refresh_offsets(hub.position)
                self.written = await self._count_written()
            except PenstockError as error:
                self._trouble = str(error)
            self._meter.lag(self._of_topic(hub.position), self._of_topic(self.ends))
            await asyncio.sleep(_OFFSETS_EVERY_S)

    async def _refresh_offsets(self, partitions: Iterable[int]) -> None:
        asked = [TopicPartition(self._scope.topic, p) for p in partitions]
        begins, ends = await self._side.begin_offsets(asked), await self._side.end_offsets(asked)
        self.begins = {tp.partition: offset for tp, offset in begins.items()}
        self.ends = {tp.partition: offset for tp, offset in ends.items()}
        self._trouble, self._well_s = "it answers slowly", self._clock.monotonic_s()

    async def _begin(self, tp: TopicPartition) -> int:
        """Where a partition begins now; kept, as `begins` tells of it."""
        begin = (await self._side.begin_offsets([tp]))[tp]
        self.begins = {**self.begins, tp.partition: begin}
        return begin

    async def _count_written(self) -> int | None:
        """Ends added up, so markers of transactions count too; only events.inbox brings some."""
        try:
            partitions = await self._side.partitions(self._scope.intake)
        except SystemFaultError:
            return None  # no such topic: a gateway beside a mirror of events.scored alone
        ends = await self._side.end_offsets([TopicPartition(self._scope.intake, p) for p in range(partitions)])
        return sum(ends.values())

    async def _publish(self, hub: Hub, polled: Polled) -> None:
        items = await self._items(polled.records)
        position = {tp.partition: end for tp, end in polled.ends.items()}
        for record in polled.records:
            partition = record.partition()
            position[partition] = max(record.offset() + 1, position.get(partition, 0))
        hub.publish(items, position)
        self._meter.count("in", len(polled.records))
        self._meter.count("dead", len(polled.records) - len(items))

    async def _items(self, records: Sequence[Record]) -> list[Item]:
        """The records as items; one that cannot be read is left out and told in the log, since the sinks keep it."""
        while True:
            try:
                await self._decoder.prepare([record.value() for record in records])
                break
            except TransientError as error:
                self._meter.retried(error, "registry")
                self._log.warning("waiting for the schema registry", error=str(error))
                await asyncio.sleep(_RETRY_S)
                self._meter.progress()
        items = []
        for record in records:
            try:
                items.append(self._item(record))
            except _UNREADABLE as error:
                where = f"{self._scope.topic}[{record.partition()}]@{record.offset()}"
                self._log.warning("a record cannot be shown", record=where, error=str(error))
        return items

    def _item(self, record: Record) -> Item:
        event = self._decoder.decode(record.value())
        partition, offset = record.partition(), record.offset()
        public = messages.public_event(event, headers.get(record, headers.UID))
        return Item(
            partition=partition,
            next=offset + 1,
            timestamp_ms=record.timestamp()[TIMESTAMP_MS],
            frame=messages.event_frame(public, partition, offset),
            facets=messages.facets(event),
        )

    def _of_topic(self, offsets: Mapping[int, int]) -> dict[TopicPartition, int]:
        return {TopicPartition(self._scope.topic, partition): offset for partition, offset in offsets.items()}
