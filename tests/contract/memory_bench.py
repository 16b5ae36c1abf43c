"""The contract's bench on the in-memory cluster."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from penstock.stream.port import Broker, Headers, Outgoing, TopicPartition
from penstock.testing import Cluster, MemoryBroker

_MARKER_DELAY_S = 0.005


class MemoryBench:
    """Markers reach each partition a little after the commit was acknowledged, as with the real one."""

    def __init__(self) -> None:
        self.cluster = Cluster(marker_delay_s=lambda: _MARKER_DELAY_S)
        self._numbers = count()
        self._brokers: list[MemoryBroker] = []

    def now_ms(self) -> int:
        return self.cluster.clock.now_ms()

    async def topic(self, partitions: int = 1, **config: Any) -> str:
        return self.cluster.create_topic(self.name("topic"), partitions, **config).name

    async def recreate(self, topic: str, partitions: int = 1) -> None:
        self.cluster.delete_topic(topic)
        self.cluster.create_topic(topic, partitions)

    def broker(
        self,
        group: str,
        *topics: str,
        transactional_id: str | None = None,
        transaction_timeout_s: float = 10.0,
        max_poll_interval_s: float = 60.0,
    ) -> Broker:
        broker = MemoryBroker(
            self.cluster,
            topics=topics,
            group=group,
            transactional_id=transactional_id or self.name("tx"),
            transaction_timeout_s=transaction_timeout_s,
            max_poll_interval_s=max_poll_interval_s,
            name=self.name("member"),
        )
        self._brokers.append(broker)
        return broker

    def name(self, word: str) -> str:
        return f"{word}-{next(self._numbers)}"

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.cluster.send(records)

    async def send_garbled(self, topic: str, value: bytes) -> None:
        headers: Headers = [("uid", bytes(16)), ("\udcff", b"x")]  # a lone surrogate: no UTF-8 has it
        self.cluster.send([Outgoing(topic, b"k", value, headers, self.now_ms(), 0)])

    async def written(self, partition: TopicPartition, end: int) -> None:
        assert self.cluster.log(partition).high_watermark >= end

    async def commit_offset(self, group: str, topic: str, partition: int, offset: int) -> None:
        self.cluster.commit_offsets(group, {TopicPartition(topic, partition): offset})

    async def forget_offsets(self, group: str) -> None:
        self.cluster.forget_offsets(group)

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()
