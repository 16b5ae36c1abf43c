"""Three brokers: any one may be killed, the controller too, while a stage goes on exactly once; `up` brings it back."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from penstock.clock import SystemClock
from penstock.errors import TransientError
from penstock.local.state import kafka_parts
from penstock.metrics import Metrics
from penstock.stream import kafka_config, offsets
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Output
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.lag import LagReader
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Record
from penstock.stream.probe import require_in_sync
from penstock.stream.settings import LoopSettings
from penstock.testing.drain import encode_letter
from tests.integration.dedup.world import read_committed, until
from tests.integration.stack_command import good, penstock, processes_that_mention, state_of

pytestmark = pytest.mark.integration

PARTITIONS = 3
PATIENCE_S = 120.0
_IN, _OUT = "numbers", "copies"


@pytest.mark.timeout(600)  # five starts of a broker, on a machine that may be busy
async def test_any_node_may_be_killed_and_a_stage_goes_on_exactly_once(data: Path) -> None:
    good(data, "up", "--nodes", "3")
    before = state_of(data)
    servers = before.bootstrap_servers
    raw = json.loads(penstock(data, "topics", "describe", "events.raw", "--json").stdout)
    assert (raw["replicas"], raw["settings"]["min.insync.replicas"]) == (3, "2")

    await make_topics(servers)
    broker = KafkaBroker(ClientSettings(servers, "copier", (_IN,), "copier.0"))
    topic_id = await broker.topic_id(_IN)
    with reading(servers) as copies:
        async with copying(broker, topic_id):
            async with writing(servers) as written:
                await copies.reach(written.sent + 10)

                # First one that only leads partitions, as each of them does.
                first = next(part for part in kafka_parts(3) if part != controller(data))
                kill(data, first)
                assert [part for part, is_up in parts(data).items() if not is_up] == [first]
                await copies.reach(written.sent + 10)
                await until(lambda: "out of sync" in what_is_wrong(servers, brokers=2))
                assert "2 of 3 brokers" in what_is_wrong(servers, brokers=3)
                good(data, "up")
                assert what_is_wrong(servers, brokers=3) == ""

                second = controller(data)
                kill(data, second)
                await copies.reach(written.sent + 10)
                assert controller(data) != second
                good(data, "up")
                assert what_is_wrong(servers, brokers=3) == ""
            await copies.reach(written.sent)
    values = [message.value() for message in await asyncio.to_thread(read_committed, servers, _OUT, written.sent)]
    assert Counter(values) == Counter(b"%d" % number for number in range(written.sent))
    lag = LagReader(servers)
    assert await lag.drained((await lag.of({"copier": [_IN]}))["copier"]), "the group's offsets are at the end, too"

    after = state_of(data)
    assert after.ports == before.ports
    restarted = {part for part, running in after.running.items() if running != before.running[part]}
    assert restarted == {first, second}, "the others were left alone"

    # One alone has lost its majority, and could not go in order.
    for part in ("kafka-1", "kafka-3"):
        kill(data, part)
    assert "kafka-2: killed: it cannot stop in order" in good(data, "down")
    assert processes_that_mention(data) == []


def what_is_wrong(servers: str, brokers: int) -> str:
    try:
        require_in_sync(servers, 20, brokers)
    except TransientError as error:
        return str(error)
    return ""


def kill(data: Path, part: str) -> None:
    os.kill(state_of(data).running[part].pid, signal.SIGKILL)


def parts(data: Path) -> dict[str, bool]:
    return {
        part["part"]: part["state"] == "up" for part in json.loads(penstock(data, "status", "--json").stdout)["parts"]
    }


def controller(data: Path) -> str:
    """The node that leads the quorum, by what the nodes have written down of the last election."""
    files = data.glob("kafka-*/log/__cluster_metadata-0/quorum-state")
    votes = [json.loads(file.read_text()) for file in files]
    return f"kafka-{max(votes, key=lambda vote: (vote['leaderEpoch'], vote['leaderId']))['leaderId']}"


async def make_topics(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    config = {"min.insync.replicas": "2"}
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 3, config=config) for name in (_IN, _OUT)]).values():
        await asyncio.to_thread(made.result, PATIENCE_S)
    await offsets.commit(servers, "copier", {(_IN, partition): 0 for partition in range(PARTITIONS)})


@dataclass(slots=True)
class Written:
    sent: int = 0
    acked: int = 0
    failed: list[str] = field(default_factory=list)


@asynccontextmanager
async def writing(servers: str) -> AsyncIterator[Written]:
    """Numbers, a hundred a second, all acknowledged at the end."""
    producer = Producer(kafka_config.producer(servers, "writer"))
    written, stop = Written(), asyncio.Event()

    def acked(error: object, _message: object) -> None:
        if error is None:
            written.acked += 1
        else:
            written.failed.append(str(error))

    async def write() -> None:
        while not stop.is_set():
            producer.produce(_IN, b"%d" % written.sent, b"%d" % written.sent, on_delivery=acked)
            written.sent += 1
            producer.poll(0)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        stop.set()
        await task
        assert await asyncio.to_thread(producer.flush, PATIENCE_S) == 0
        assert written.failed == []


class Copy:
    async def process(self, batch: Sequence[Record]) -> Output:
        return Output(forward={_OUT: list(batch)})


@asynccontextmanager
async def copying(broker: KafkaBroker, topic_id: str) -> AsyncIterator[None]:
    """A stage that copies."""
    clock = SystemClock()
    letters = DeadLetters("copier", encode_letter, {_IN: topic_id}, clock)
    loop = Loop(broker, Copy(), letters, LoopSettings("copier"), clock, Meter("copier", Metrics(), clock))
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


class Copies:
    """What a read_committed reader has seen; it is the same one all the time."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._count = 0

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self._count < count:
                messages = await asyncio.to_thread(self._consumer.consume, 1000, 0.2)
                self._count += sum(message.error() is None for message in messages)


@contextmanager
def reading(servers: str) -> Iterator[Copies]:
    consumer = Consumer(kafka_config.reader(servers, "reader"))
    try:
        consumer.assign([TopicPartition(_OUT, partition, 0) for partition in range(PARTITIONS)])
        yield Copies(consumer)
    finally:
        consumer.close()
