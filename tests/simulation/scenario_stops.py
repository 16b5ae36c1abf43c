"""What no stage may carry on after: its input was made anew, or its offsets expired. It stops and says why."""

import asyncio
from collections import Counter
from random import Random
from typing import ClassVar

from tests.simulation import checks
from tests.simulation.scenario_dedup import RAW, UNIQUE, DedupScenario
from tests.simulation.workload import Source
from tests.simulation.world import BrokenError, World

_WEEK_S = 7 * 86_400.0


class StoppingScenario(DedupScenario):
    """Dedup until something befalls its input; afterwards nothing more may come out of it."""

    why: ClassVar[str]
    """What the explanation has to say."""

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        world.expected_stop = self.why
        self.befalls_at_s = chance.uniform(0.2, 6.0)
        self.chance = chance
        self.before: Counter[bytes] = Counter()

    async def work(self) -> None:
        source = asyncio.create_task(self.source.run())
        await asyncio.sleep(self.befalls_at_s)
        source.cancel()
        await asyncio.wait([source])
        self.before = Counter(checks.uid(record) for record in self.world.cluster.records(RAW))
        await self.befall()

    async def befall(self) -> None:
        raise NotImplementedError

    def drained(self) -> bool:
        return all(slot.ended for slot in self.world.slots)

    def check(self) -> None:
        found = Counter(checks.uid(record) for record in self.world.cluster.records(UNIQUE))
        if strange := found - self.before:
            raise BrokenError(f"came out of a stage that should have stopped, or twice: {sorted(strange)}")


class RecreatedScenario(StoppingScenario):
    """The input topic is deleted and made again, under the same name and with records of its own."""

    why: ClassVar[str] = "made again|no committed offset"

    async def befall(self) -> None:
        cluster = self.world.cluster
        partitions = len(self.world.partitions(RAW))
        cluster.delete_topic(RAW)
        cluster.create_topic(RAW, partitions)
        again = Source(cluster, RAW, self.chance, count=30, keys=8, over_s=1.0, first=10_000)
        await again.run()


class ExpiredScenario(StoppingScenario):
    """The stage is away for longer than the group's offsets are kept."""

    why: ClassVar[str] = "no committed offset"

    async def befall(self) -> None:
        for slot in self.world.slots:
            slot.away_until_s = self.world.cluster.now_s + _WEEK_S + 310
            slot.stop.set()
        await asyncio.sleep(_WEEK_S + 300)
