"""Dedup on topics of its own in the shared stack, run in this process or as the real one."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.clock import SystemClock
from penstock.metrics import Metrics
from penstock.schema.codec import Decoder, encoder
from penstock.schema.registry import Registry
from penstock.stream import kafka_config
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Headers
from penstock.stream.settings import LoopSettings
from penstock.stream.topic_id import topic_id_text
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings
from tests.conftest import RunningStack

PARTITIONS = 3
PATIENCE_S = 60.0


def fingerprint(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "little")


@dataclass(frozen=True)
class Sent:
    """One record of the input."""

    number: int | None
    """Of the event; None sends a wrong key."""
    age_ms: int = 0

    @property
    def key(self) -> bytes:
        return b"wrong key" if self.number is None else fingerprint(self.number)


class World:
    def __init__(self, stack: RunningStack, registry: Registry, name: str) -> None:
        self._stack = stack
        self.registry = registry
        self.name = name
        self.raw, self.seen, self.dead = f"{name}.raw", f"{name}.seen", f"dlq.{name}"
        self.topics = Topics(f"{name}.unique", f"{name}.duplicates", f"{name}.late")
        self._producer = Producer(kafka_config.producer(stack.bootstrap_servers, name))
        self.now_ms = SystemClock().now_ms()
        self._sent = 0

    async def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._stack.bootstrap_servers})
        names = [self.raw, self.seen, self.dead, self.topics.unique, self.topics.duplicates, self.topics.late]
        for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            await asyncio.to_thread(made.result, PATIENCE_S)
        starts = [KafkaPartition(self.raw, partition, 0) for partition in range(PARTITIONS)]
        (done,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name, starts)]).values()
        await asyncio.to_thread(done.result, PATIENCE_S)

    def send(self, records: Iterable[Sent]) -> list[bytes]:
        """Writes to the input; returns the uids. Event numbers are values and sources too."""
        uids = []
        for record in records:
            self._sent += 1
            uids.append(uuid4().bytes)
            headers: Headers = [("uid", uids[-1]), ("source", b"test"), ("traceparent", b"00-1-2-01")]
            self._producer.produce(
                self.raw,
                b"value %d" % (record.number or 0),
                record.key,
                headers=headers,  # type: ignore[arg-type]  # invariance only
                timestamp=self.now_ms + self._sent - record.age_ms,
            )
        assert self._producer.flush(PATIENCE_S) == 0
        return uids

    @asynccontextmanager
    async def dedup(
        self, slot: int = 0, window: WindowSettings | None = None, metrics: Metrics | None = None
    ) -> AsyncIterator[Loop]:
        """One running instance; leaves gracefully at the end."""
        loop = await self.loop(slot, window or WindowSettings(86_400_000, 300_000, 1), metrics)
        stop = asyncio.Event()
        running = asyncio.create_task(loop.run(stop))
        try:
            yield loop
        finally:
            stop.set()
            await running

    async def loop(self, slot: int, window: WindowSettings, metrics: Metrics | None = None) -> Loop:
        clock = SystemClock()
        broker = KafkaBroker(
            ClientSettings(self._stack.bootstrap_servers, self.name, (self.raw,), f"{self.name}.{slot}")
        )
        duplicates = await encoder(self.registry, "duplicate", "events.duplicates-value")
        letters = await encoder(self.registry, "dead_letter", "dlq.dedup-value")
        state = SeenState(self.seen, window, clock)
        return Loop(
            broker,
            Dedup(state, duplicates.encode, self.topics),
            DeadLetters(self.name, letters.encode, {self.raw: await broker.topic_id(self.raw)}, clock),
            LoopSettings(self.name),
            clock,
            Meter(self.name, metrics or Metrics(), clock),
            state,
        )

    async def topic_id(self, topic: str) -> str:
        admin = AdminClient({"bootstrap.servers": self._stack.bootstrap_servers})
        described = admin.describe_topics(TopicCollection([topic]))[topic]
        return topic_id_text((await asyncio.to_thread(described.result, PATIENCE_S)).topic_id)

    async def read(self, topic: str, count: int) -> list[Message]:
        """Waits for `count` committed records of the topic; returns those, and any that should not be there."""
        return await asyncio.to_thread(read_committed, self._stack.bootstrap_servers, topic, count)

    async def decoded(self, record: str, messages: Sequence[Message]) -> list[dict[str, object]]:
        decoder = Decoder(self.registry, record)
        await decoder.prepare([message.value() for message in messages])
        return [decoder.decode(message.value()) for message in messages]


def read_committed(bootstrap_servers: str, topic: str, count: int) -> list[Message]:
    """At least `count` records of the topic, and all there are up to the end of each of its partitions."""
    consumer = Consumer(kafka_config.reader(bootstrap_servers, f"reader-{uuid4().hex}"))
    try:
        partitions = consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions
        consumer.assign([KafkaPartition(topic, partition, 0) for partition in partitions])
        found, ends, deadline_s = list[Message](), set[int | None](), time.monotonic() + PATIENCE_S
        while len(found) < count or len(ends) < len(partitions):
            assert time.monotonic() < deadline_s, f"{topic} has {len(found)} of {count} records"
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    found.append(message)
                else:
                    ends.add(message.partition())
        return found
    finally:
        consumer.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.02)


async def killed_at(failpoint: str, stack: RunningStack, slot: int) -> None:
    """Runs the real service until its failpoint has killed it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.dedup", env=environment(stack, slot) | {"PENSTOCK_FAILPOINT": failpoint}
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -9


async def ended(stack: RunningStack, slot: int, **settings: str) -> tuple[int, str]:
    """The exit code of the real service, which must end by itself, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.dedup", env=environment(stack, slot) | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, said.decode()


@asynccontextmanager
async def service(stack: RunningStack, slot: int) -> AsyncIterator[None]:
    """The real service, once it has told where it is; stopped by SIGTERM, which it has to follow."""
    own = environment(stack, slot)
    told = Path(own["PENSTOCK_DATA"], "run", f"dedup.{slot}.json")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.dedup", env=own)
    try:
        # One that was killed has left its file behind.
        await until(lambda: told.exists() and json.loads(told.read_text())["pid"] == process.pid)
        yield
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def environment(stack: RunningStack, slot: int) -> dict[str, str]:
    return os.environ | {
        "PENSTOCK_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "PENSTOCK_SCHEMA_REGISTRY_URL": stack.schema_registry_url,
        "PENSTOCK_SLOT": str(slot),
        # Where its slot is locked: another run of these tests on this machine has a folder of its own.
        "PENSTOCK_DATA": str(stack.data / "run" / f"tests-{os.getpid()}"),
    }
