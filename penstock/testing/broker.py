"""The port `penstock.stream.port.Broker` on the in-memory cluster."""

from collections.abc import Collection, Mapping, Sequence

from penstock.errors import SystemFaultError, TransientError
from penstock.stream.port import Event, Membership, Outcome, Outgoing, Record, TopicPartition
from penstock.testing.cluster import Cluster
from penstock.testing.consumer import MemoryConsumer
from penstock.testing.membership import GroupClient
from penstock.testing.producer import MemoryProducer
from penstock.testing.refusals import RefusedError
from penstock.testing.transactions import Credentials

_CALL_S = 5.0
"""As penstock.stream.group_reader has it."""


class MemoryBroker:
    """One process's client.

    Args:
        topics, group: what to read together with whom; without a group, `assign_at` says what to read.
        transactional_id: whose earlier producers are fenced.
        name: of the member in its group; unique per instance.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        topics: Collection[str] = (),
        group: str | None = None,
        transactional_id: str = "tx",
        transaction_timeout_s: float = 10.0,
        max_poll_interval_s: float = 60.0,
        name: str = "member",
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._client = None
        if group is not None and topics:
            self._client = GroupClient(cluster, group, frozenset(topics), name, max_poll_interval_s)
        self._consumer = MemoryConsumer(cluster, self._client)
        self._producer = MemoryProducer(cluster, transactional_id, transaction_timeout_s, group)

    async def start(self) -> None:
        await self._producer.init()
        if self._client is not None:
            self._client.join()

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        return await self._consumer.poll(max_records, timeout_s)

    async def begin(self) -> None:
        self._producer.begin()

    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        await self._producer.produce(batch, forward)

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        return await self._producer.commit(offsets, membership)

    async def abort(self) -> Outcome:
        return self._producer.abort()

    async def renew(self) -> None:
        await self._producer.init()

    async def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer.assign_at(offsets)

    async def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._consumer.pause(partitions)

    async def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._consumer.resume(partitions)

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer.seek(offsets)

    async def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._consumer.positions(partitions)

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        assert self._group is not None, "stable_offsets without a group"
        deadline_s = self._cluster.tick() + _CALL_S
        offsets = self._cluster.group_offsets(self._group)
        while self._cluster.coordinators_move or not offsets.stable(partitions):
            left_s = deadline_s - self._cluster.now_s
            if left_s <= 0:
                raise TransientError(f"reading the committed offsets of {self._group}: pending for {_CALL_S:.0f} s")
            await self._cluster.changed(left_s)
        return {tp: offsets.committed.get(tp) for tp in partitions}

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._cluster.tick()
        with _explained():
            return {tp: self._cluster.log(tp).last_stable_offset for tp in partitions}

    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._cluster.tick()
        with _explained():
            return {tp: self._cluster.log(tp).start for tp in partitions}

    async def topic_id(self, topic: str) -> str:
        with _explained():
            return self._cluster.topic(topic).topic_id

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        self._cluster.tick()
        with _explained():
            return self._cluster.log(partition).read(start, end, max_records)[0]

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        self._cluster.tick()
        with _explained():
            for tp, offset in before.items():
                self._cluster.log(tp).delete_before(offset)

    async def close(self) -> None:
        self._producer.close()
        self._consumer.close()

    @property
    def credentials(self) -> Credentials:
        """The transactional id and epoch of the live producer."""
        return self._producer.credentials

    @property
    def group(self) -> str | None:
        return self._group

    @property
    def in_transaction(self) -> bool:
        return self._producer.is_open

    @property
    def membership(self) -> Membership | None:
        """As of now, not as of a poll: what commits more than it should."""
        return self._client.membership if self._client is not None else None

    # -- what befalls a process ------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """No heartbeat goes out until `thaw`: SIGSTOP, or for ever kill -9. What is open stays open."""
        if self._client is not None:
            self._client.freeze()

    def thaw(self) -> None:
        if self._client is not None:
            self._client.thaw()

    def heartbeat(self) -> None:
        """One goes out now, and brings the group's answer."""
        if self._client is not None:
            self._client.heartbeat()


class _explained:  # noqa: N801  reads as a word at its use
    """Turns a refusal into the port's error."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RefusedError):
            raise SystemFaultError(f"the broker refused: {error}") from error
