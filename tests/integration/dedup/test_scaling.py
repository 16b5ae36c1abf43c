"""One instance, three, one again, on real Kafka and under load: nothing is lost, nothing doubled, nothing overtakes.

How long the partitions pause meanwhile is measured by `python -m loadtests.scaling`.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from penstock.metrics import Metrics
from penstock.schema.registry import Registry
from penstock.stream.loop import Loop
from tests.conftest import RunningStack
from tests.integration.dedup.world import PARTITIONS, Sent, World, until

pytestmark = pytest.mark.integration

EVENTS = 4000
"""Different ones, that each come several times."""
AT_ONCE = 100


@pytest.fixture
async def world(stack: RunningStack) -> AsyncIterator[World]:
    async with Registry(stack.schema_registry_url) as registry:
        made = World(stack, registry, f"scaling-{uuid4().hex[:12]}")
        await made.create()
        yield made


class Load:
    """Writes without a break until told to stop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._choice = random.Random(5)
        self._enough = asyncio.Event()
        self.written = 0
        self.numbers: set[int] = set()

    async def run(self) -> None:
        while not self._enough.is_set():
            chosen = [self._choice.randrange(EVENTS) for _ in range(AT_ONCE)]
            await asyncio.to_thread(self._world.send, [Sent(number) for number in chosen])
            self.written += AT_ONCE
            self.numbers.update(chosen)

    async def stop(self, task: "asyncio.Task[None]") -> None:
        self._enough.set()
        await task


class Instances:
    """Those that run, by slot."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[int, tuple[Loop, Metrics]] = {}

    @asynccontextmanager
    async def one(self, slot: int) -> AsyncIterator[None]:
        metrics = Metrics()
        async with self._world.dedup(slot, metrics=metrics) as loop:
            self._running[slot] = loop, metrics
            yield
            del self._running[slot]

    def share(self, partitions: int) -> bool:
        """Whether each of them is at work on so many."""
        labels = {"stage": self._world.name}
        return all(
            loop.ready and metrics.registry.get_sample_value("penstock_partitions", labels) == partitions
            for loop, metrics in self._running.values()
        )


async def passes_on(world: World, load: Load) -> None:
    """What is written from now on comes through, all of it so far and more."""
    written = load.written + 3 * AT_ONCE
    await until(lambda: load.written >= written)
    await world.read(world.topics.unique, len(load.numbers))


async def test_from_one_instance_to_three_and_back_nothing_is_lost_or_doubled_or_overtakes(world: World) -> None:
    load, instances = Load(world), Instances(world)
    async with instances.one(0):
        await until(lambda: instances.share(PARTITIONS))
        writing = asyncio.create_task(load.run())
        await passes_on(world, load)
        async with instances.one(1), instances.one(2):
            await until(lambda: instances.share(1))
            await passes_on(world, load)
        await until(lambda: instances.share(PARTITIONS))
        await passes_on(world, load)
        await load.stop(writing)
        unique = await world.read(world.topics.unique, len(load.numbers))
        duplicates = await world.read(world.topics.duplicates, load.written - len(load.numbers))
    assert max(Counter(message.key() for message in unique).values()) == 1
    assert (len(unique), len(duplicates)) == (len(load.numbers), load.written - len(load.numbers))
    times: dict[int | None, list[int]] = defaultdict(list)
    for message in unique:
        times[message.partition()].append(message.timestamp()[1])
    assert all(found == sorted(found) for found in times.values()), "records of one partition keep their order"
