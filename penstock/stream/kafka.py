"""The broker port on real Kafka, by confluent-kafka: one worker thread, one consumer, one transactional producer."""

import asyncio
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.errors import BrokerError, Category, SystemFaultError
from penstock.stream import kafka_config
from penstock.stream.group_reader import GroupReader
from penstock.stream.offsets import listed
from penstock.stream.port import Event, Membership, Outcome, Outgoing, Polled, Record, Revoked, TopicPartition
from penstock.stream.topic_id import topic_id_text
from penstock.stream.transactions import Transactions, explain
from penstock.stream.verdicts import verdict
from penstock.stream.worker import Worker

_ADMIN_TIMEOUT_S = 10.0
_READ_S = 10.0
"""Without a record for so long a read outside the group is given up, to be tried again."""
_AT_THE_END_MS = 20


class KafkaBroker:
    """See `penstock.stream.port.Broker` for what each call promises."""

    def __init__(self, settings: kafka_config.ClientSettings) -> None:
        self._settings = settings
        self._worker = Worker(settings.transactional_id)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: deque[Event | Exception] = deque()
        self._arrived = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None
        self._held: Revoked | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._closed = False
        self._reader = GroupReader(settings, self._emit, self._worker.serve_until, self._worker.wake)
        self._transactions = Transactions(settings)
        self._admin_client: AdminClient | None = None
        self._side: Consumer | None = None
        self._side_at: KafkaPartition | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._worker.do(self._transactions.renew)
        await self._worker.do(self._reader.join)

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        self._loop = asyncio.get_running_loop()
        while not self._events:
            self._arrived.clear()
            if self._fetching is None:  # else a fetch still goes on in which a revocation was acked
                self._fetching = asyncio.create_task(self._fetch(max_records, timeout_s))
            await self._arrived.wait()
        event = self._events.popleft()
        if isinstance(event, Exception):
            raise event
        if isinstance(event, Polled):
            self._positions.update(event.positions)
        return event

    async def begin(self) -> None:
        await self._worker.do(self._transactions.begin)

    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        await self._worker.do(self._transactions.produce, batch, forward)

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        return await self._worker.do(self._transactions.commit, offsets, membership)

    async def abort(self) -> Outcome:
        return await self._worker.do(self._transactions.abort)

    async def renew(self) -> None:
        await self._worker.do(self._transactions.renew)

    async def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._worker.do(self._reader.assign_at, offsets)

    async def pause(self, partitions: Collection[TopicPartition]) -> None:
        await self._worker.do(self._reader.pause, partitions)

    async def resume(self, partitions: Collection[TopicPartition]) -> None:
        await self._worker.do(self._reader.resume, partitions)

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._worker.do(self._reader.seek, offsets)
        self._positions.update(offsets)
        # What was fetched before the seek and waits to be polled is not handed over any more.
        self._events = deque(_without(event, offsets) for event in self._events)

    async def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {tp: self._positions[tp] for tp in partitions if tp in self._positions}

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return await self._worker.do(self._reader.stable_offsets, partitions)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client has no types here
        return await asyncio.to_thread(self._list_offsets, partitions, latest)

    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client has no types here
        return await asyncio.to_thread(self._list_offsets, partitions, earliest)

    async def topic_id(self, topic: str) -> str:
        return await asyncio.to_thread(self._topic_id, topic)

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return await asyncio.to_thread(self._partition_count, topic)

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        return await self._worker.do(self._read, partition, start, end, max_records)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        await asyncio.to_thread(self._delete_records, before)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._fetching is not None:
            await self._acking(self._fetching)
        self._admin_client = None
        await self._worker.do(self._transactions.close)
        # Leaving the group revokes what is still assigned.
        await self._acking(asyncio.create_task(self._worker.do(self._reader.close)))
        if self._side is not None:
            await self._worker.do(self._side.close)
        self._worker.stop()

    async def _acking(self, task: asyncio.Task[None]) -> None:
        """Waits for the end of a call, acking every revocation that holds it: nobody polls any more."""
        while not task.done():
            if self._held is not None:
                self._held.ack()
            await asyncio.wait([task], timeout=0.02)
        await task

    async def _fetch(self, max_records: int, timeout_s: float) -> None:
        try:
            await self._worker.do(self._reader.fetch, max_records, timeout_s)
        except Exception as error:  # noqa: BLE001  handed to the one who polls
            self._events.append(error)
        finally:
            self._fetching = None
            self._held = None
            self._arrived.set()

    def _emit(self, event: Event) -> None:
        """In the worker thread: an event on its way to `poll`."""
        assert self._loop is not None  # noqa: S101  set before anything can be emitted
        self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Revoked):
            self._held = event
        self._events.append(event)
        self._arrived.set()

    @contextmanager
    def _admin(self, doing: str) -> Iterator[AdminClient]:
        """The admin client; a new one after each error.

        The client keeps a partition's leader and its epoch, and does not ask again when a request fails of them: after
        a change of leaders all its requests may fail for ever (librdkafka 2.16: FENCED_LEADER_EPOCH).
        """
        if self._admin_client is None:
            self._admin_client = AdminClient(
                kafka_config.base(self._settings.bootstrap_servers, self._settings.transactional_id)
            )
        try:
            yield self._admin_client
        except KafkaException as error:
            self._admin_client = None
            raise explain(error, doing) from error

    def _list_offsets(self, partitions: Collection[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        with self._admin("listing offsets") as admin:
            asked = admin.list_offsets(
                {KafkaPartition(*tp): spec for tp in partitions},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=_ADMIN_TIMEOUT_S,
            )
            return listed(asked)

    def _topic_id(self, topic: str) -> str:
        with self._admin(f"describing topic {topic}") as admin:
            answer = admin.describe_topics(TopicCollection([topic]), request_timeout=_ADMIN_TIMEOUT_S)
            return topic_id_text(answer[topic].result().topic_id)

    def _partition_count(self, topic: str) -> int:
        with self._admin(f"describing topic {topic}") as admin:
            metadata = admin.list_topics(topic, timeout=_ADMIN_TIMEOUT_S).topics[topic]
        if metadata.error is not None:
            raise SystemFaultError(f"topic {topic} does not exist; create the topics with `penstock topics apply`")
        return len(metadata.partitions)

    def _read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        if start >= end:
            return []
        if self._side is None:
            self._side = Consumer(
                kafka_config.reader(self._settings.bootstrap_servers, f"{self._settings.transactional_id}.side")
                # The end behind the last marker is told by a fetch that brings nothing, and takes so long.
                | {"fetch.wait.max.ms": _AT_THE_END_MS}
            )
        at = KafkaPartition(partition.topic, partition.partition, start)
        expected = self._side_at
        if expected is None or (expected.topic, expected.partition, expected.offset) != (*partition, start):
            self._side.assign([at])
        self._side_at = None
        records: list[Record] = []
        give_up_s = time.monotonic() + _READ_S
        while not records:
            if time.monotonic() > give_up_s:
                raise BrokerError(f"{partition} could not be read from offset {start} within {_READ_S:.0f} s")
            for message in _what_comes(self._side, max_records):
                if (error := message.error()) is None:
                    if (message.offset() or 0) >= end:
                        return records
                    records.append(message)  # type: ignore[arg-type]  # a fetched message has an offset
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the client's public codes
                    if (message.offset() or 0) >= end:
                        return records
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  what was there is deleted by now
                    at = self._first_kept(self._side, at)
                    if at.offset >= end:
                        return records
                    self._side.assign([at])
                elif verdict(error).category is not Category.TRANSIENT:
                    raise explain(KafkaException(error), f"reading {partition} from offset {start}")
        self._side_at = KafkaPartition(partition.topic, partition.partition, records[-1].offset() + 1)
        return records

    def _first_kept(self, side: Consumer, at: KafkaPartition) -> KafkaPartition:
        try:
            first, _ = side.get_watermark_offsets(at, timeout=_ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise explain(error, f"reading {at.topic}[{at.partition}]") from error
        if first <= at.offset:
            raise SystemFaultError(f"{at.topic}[{at.partition}] has no offset {at.offset}: the topic was made again")
        return KafkaPartition(at.topic, at.partition, first)

    def _delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        if not before:
            return
        with self._admin(f"deleting records of {', '.join(map(str, before))}") as admin:
            asked = admin.delete_records(
                [KafkaPartition(*tp, offset) for tp, offset in before.items()], request_timeout=_ADMIN_TIMEOUT_S
            )
            for answer in asked.values():
                answer.result()


def _without(event: Event | Exception, partitions: Collection[TopicPartition]) -> Event | Exception:
    if not isinstance(event, Polled):
        return event
    return replace(
        event,
        records=[record for record in event.records if (record.topic(), record.partition()) not in partitions],
        ends={tp: end for tp, end in event.ends.items() if tp not in partitions},
        positions={tp: at for tp, at in event.positions.items() if tp not in partitions},
    )


def _what_comes(consumer: Consumer, max_records: int) -> Sequence[Message]:
    """Waits for no more than the first: a call for many returns no earlier than its time-out, unless all have come."""
    if (first := consumer.poll(0.1)) is None:
        return []
    return [first, *consumer.consume(max_records - 1, 0)] if max_records > 1 else [first]
