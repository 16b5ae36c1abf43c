"""An input topic that is deleted and made again under its name is another topic."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from penstock.errors import DataError, PermanentError
from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Dead, Flushed, Output
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Record, TopicPartition
from penstock.stream.settings import LoopSettings
from penstock.stream.sink_loop import SinkLoop
from penstock.testing import Cluster, MemoryBroker
from penstock.testing.builders import outgoing
from penstock.testing.drain import encode_letter
from penstock.testing.virtual_time import run_in_virtual_time

TP = TopicPartition("originals", 0)
BAD = DataError("bad", "it is bad")


class Copy:
    async def process(self, batch: Sequence[Record]) -> Output:
        return Output(forward={"copies": list(batch)})


class Refuses:
    """A sink that refuses every record, and keeps its offsets under the topic's id."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}
        self._topic_id = ""
        self._taken = False

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        self._topic_id = topic_ids[TP.topic]
        return dict.fromkeys(partitions, self._ends.get(self._topic_id, 0))

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        self._taken = True
        return [Dead(record, BAD) for record in batch]

    def due(self, now_s: float) -> Collection[TopicPartition]:
        return [TP] if self._taken else []

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        self._ends[self._topic_id], self._taken = ends[TP], False
        return {TP: Flushed(ends[TP], ours=True)}

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        self._taken = False

    async def close(self) -> None: ...


class World:
    """One stage on a cluster, whose input is made again once it has read what was in it."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        for topic in (TP.topic, "copies", "dlq.stage"):
            self.cluster.create_topic(topic)
        self.first_id = self.cluster.topic(TP.topic).topic_id
        self.broker = MemoryBroker(self.cluster, topics=[TP.topic], group="penstock.stage", transactional_id="t")
        self.letters = DeadLetters("stage", encode_letter, {TP.topic: self.first_id}, self.cluster.clock)
        self.settings = LoopSettings("stage")
        self.meter = Meter("stage", Metrics(), self.cluster.clock)
        self.cluster.commit_offsets("penstock.stage", {TP: 0})
        self.fill()

    def fill(self) -> None:
        self.cluster.send([outgoing(TP.topic, b"1"), outgoing(TP.topic, b"2")])

    def read(self, topic: str) -> int:
        return len(self.cluster.records(topic))

    async def run(self, loop: Loop | SinkLoop, seen: Callable[[], int], *, start: int | None = None) -> None:
        """Has the loop read two records, makes the topic again with two others, and waits for the loop to end or for
        those to be read. `start` is what the group then has committed: somebody may have, while it had no member."""
        stop = asyncio.Event()
        running = asyncio.create_task(loop.run(stop))
        while seen() < 2:  # noqa: ASYNC110  simulated time, and nothing to wait for
            await asyncio.sleep(0.05)
        self.cluster.delete_topic(TP.topic)
        self.cluster.create_topic(TP.topic)
        if start is not None:
            self.cluster.group_offsets("penstock.stage").commit({TP: start})
        self.fill()
        while not running.done() and seen() < 4:
            await asyncio.wait([running], timeout=0.05)
        stop.set()
        await running


@pytest.mark.parametrize("start", [None, 0])
@pytest.mark.verdict("topic made again meanwhile")
def test_a_stage_stops_and_says_that_it_is_another_topic(start: int | None) -> None:
    world = World()
    loop = Loop(world.broker, Copy(), world.letters, world.settings, world.cluster.clock, world.meter)
    with pytest.raises(PermanentError, match=r"originals was deleted and made again while stage stage read it"):
        run_in_virtual_time(world.run(loop, lambda: world.read("copies"), start=start))
    assert world.read("copies") == 2


def test_the_dead_letters_of_a_sink_name_the_topic_that_their_record_stood_in() -> None:
    world = World()
    loop = SinkLoop(world.broker, Refuses(), world.letters, world.settings, world.cluster.clock, world.meter)
    run_in_virtual_time(world.run(loop, lambda: world.read("dlq.stage")))
    second_id = world.cluster.topic(TP.topic).topic_id
    found = [json.loads(record.value() or b"") for record in world.cluster.records("dlq.stage")]
    assert [(one["topic_id"], one["offset"]) for one in found] == [
        (world.first_id, 0), (world.first_id, 1), (second_id, 0), (second_id, 1)
    ]  # fmt: skip
