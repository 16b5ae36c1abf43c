"""The contract's bench on real Kafka."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.port import Broker, Outgoing, TopicPartition
from tests.contract.raw_produce import raw_produce

_CONFIG = {
    "max_message_bytes": "max.message.bytes",
    "timestamp_after_max_ms": "message.timestamp.after.max.ms",
    "timestamp_before_max_ms": "message.timestamp.before.max.ms",
    "retention_ms": "retention.ms",
}
_TIMEOUT_S = 20.0


class KafkaBench:
    def __init__(self, bootstrap_servers: str, replicas: int) -> None:
        self._servers = bootstrap_servers
        self._replicas = replicas
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2_random"})
        self._brokers: list[KafkaBroker] = []

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def topic(self, partitions: int = 1, **config: Any) -> str:
        name = self.name("topic")
        await self._create(name, partitions, **config)
        return name

    async def recreate(self, topic: str, partitions: int = 1) -> None:
        for done in self._admin.delete_topics([topic]).values():
            await asyncio.to_thread(done.result, _TIMEOUT_S)
        await self._everywhere(topic, there=False)
        await self._create(topic, partitions)

    async def _create(self, name: str, partitions: int, **config: Any) -> None:
        settings = {_CONFIG[key]: str(value) for key, value in config.items() if key in _CONFIG}
        if config.get("log_append_time"):
            settings["message.timestamp.type"] = "LogAppendTime"
        settings["min.insync.replicas"] = str(max(1, self._replicas - 1))
        made = self._admin.create_topics([NewTopic(name, partitions, self._replicas, config=settings)])
        await asyncio.to_thread(made[name].result, _TIMEOUT_S)
        await self._everywhere(name, there=True)

    async def _everywhere(self, topic: str, *, there: bool) -> None:
        """Waits until every broker shows what the controller has done: each follows it in its own time."""
        async with asyncio.timeout(_TIMEOUT_S):
            for address in self._servers.split(","):
                while await asyncio.to_thread(_shows, address, topic) != there:  # noqa: ASYNC110  nothing to wait for
                    await asyncio.sleep(0.05)

    def broker(
        self,
        group: str,
        *topics: str,
        transactional_id: str | None = None,
        transaction_timeout_s: float = 10.0,
        max_poll_interval_s: float = 60.0,
    ) -> Broker:
        broker = KafkaBroker(
            ClientSettings(
                self._servers,
                group,
                topics,
                transactional_id or self.name("tx"),
                commit_deadline_s=transaction_timeout_s / 2,
                transaction_timeout_s=transaction_timeout_s,
                max_poll_interval_s=max_poll_interval_s,
            )
        )
        self._brokers.append(broker)
        return broker

    def name(self, word: str) -> str:
        return f"contract.{word}-{uuid4().hex[:12]}"

    async def send(self, records: Sequence[Outgoing]) -> None:
        for out in records:
            self._producer.produce(
                out.topic,
                out.value,
                out.key,
                partition=out.partition,
                headers=out.headers,  # type: ignore[arg-type]  # invariance only
                timestamp=out.timestamp_ms,
            )
        left = await asyncio.to_thread(self._producer.flush, _TIMEOUT_S)
        assert left == 0

    async def send_garbled(self, topic: str, value: bytes) -> None:
        cluster = await asyncio.to_thread(self._admin.list_topics, topic, _TIMEOUT_S)
        leader = cluster.brokers[cluster.topics[topic].partitions[0].leader]
        await raw_produce(f"{leader.host}:{leader.port}", topic, 0, b"k", value, [(b"uid", bytes(16)), (b"\xff", b"x")])

    async def written(self, partition: TopicPartition, end: int) -> None:
        asked = KafkaPartition(*partition)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            (answer,) = self._admin.list_offsets({asked: OffsetSpec.latest()}).values()  # type: ignore[no-untyped-call]
            with suppress(KafkaException):  # its leader has moved
                if (await asyncio.to_thread(answer.result)).offset >= end:
                    return
            assert time.monotonic() < deadline_s, f"{partition} did not grow to {end}"
            await asyncio.sleep(0.05)

    async def commit_offset(self, group: str, topic: str, partition: int, offset: int) -> None:
        request = ConsumerGroupTopicPartitions(group, [KafkaPartition(topic, partition, offset)])
        (done,) = self._admin.alter_consumer_group_offsets([request]).values()
        await asyncio.to_thread(done.result, _TIMEOUT_S)

    async def forget_offsets(self, group: str) -> None:
        (done,) = self._admin.delete_consumer_groups([group]).values()
        await asyncio.to_thread(done.result, _TIMEOUT_S)

    async def close(self) -> None:
        await asyncio.gather(*(broker.close() for broker in self._brokers))


def _shows(address: str, topic: str) -> bool:
    """Whether the broker at this address has the topic, with a leader for each partition."""
    # A client's first question goes to the address it was given; later ones to any broker.
    found = AdminClient({"bootstrap.servers": address}).list_topics(timeout=_TIMEOUT_S).topics.get(topic)
    return found is not None and all(partition.leader >= 0 for partition in found.partitions.values())
