"""What befalls a stage's input: it is made anew, its offsets expire, its records are deleted before they are read.

A stage between topics may not carry on: it stops and says why. A sink keeps its own offset, under the topic's id.
"""

import asyncio
from collections import Counter
from random import Random
from typing import ClassVar

from penstock.stream.port import Record
from tests.simulation import checks
from tests.simulation.scenario_dedup import RAW, UNIQUE, DedupScenario
from tests.simulation.scenario_sinks import SCORED, PostgresScenario, S3Scenario, SinkScenario
from tests.simulation.workload import Source
from tests.simulation.world import BrokenError, World

_DAY_S = 86_400.0
_WEEK_S = 7 * _DAY_S


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
        await self.source.run(until_s=self.befalls_at_s)
        await _decided(self.world)
        self.before = Counter(checks.uids(self.world.cluster.records(RAW)))
        await self.befall()

    async def befall(self) -> None:
        raise NotImplementedError

    def drained(self) -> bool:
        return all(slot.ended for slot in self.world.slots)

    def check(self) -> None:
        found = Counter(checks.uids(self.world.cluster.records(UNIQUE)))
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
        await Source(cluster, RAW, self.chance, count=30, keys=8, over_s=1.0, first=10_000).run()


class ExpiredScenario(StoppingScenario):
    """The stage is away for longer than the group's offsets are kept."""

    why: ClassVar[str] = "no committed offset"

    async def befall(self) -> None:
        await self.world.all_away(_WEEK_S + 310)
        await asyncio.sleep(_WEEK_S + 300)


class OvertakenScenario(StoppingScenario):
    """The stage is away for longer than its input is kept: it must not go on behind what it has not read as if nothing
    were amiss."""

    why: ClassVar[str] = "records were deleted before they were read"
    raw_kept_ms: ClassVar[int | None] = int((_DAY_S - 600) * 1000)
    """Less than a day by more than a clock is ever ahead."""

    async def befall(self) -> None:
        await self.world.all_away(_DAY_S + 90)
        more = Source(self.world.cluster, RAW, self.chance, count=30, keys=8, over_s=1.0, first=10_000)
        await more.run()
        await _decided(self.world)
        await asyncio.sleep(_DAY_S)
        self.world.cluster.retain()


class UnstoppableScenario(SinkScenario):
    """A sink goes on where its store says, whatever befalls its input.

    `before` and `letters` are what the input held, and what dead letters had to be of that.
    """

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        self.befalls_at_s = chance.uniform(0.2, 6.0)
        self.chance = chance
        self.before: list[Record] = []
        self.letters: set[bytes] = set()


class ExpiredSinkScenario(UnstoppableScenario):
    """The group's offsets expire while the sink is away."""

    async def work(self) -> None:
        await self.source.run(until_s=self.befalls_at_s)
        await self.world.all_away(_WEEK_S + 310)
        await asyncio.sleep(_WEEK_S + 300)
        await Source(self.world.cluster, SCORED, self.chance, count=30, keys=8, over_s=1.0, first=10_000).run()


class RecreatedSinkScenario(UnstoppableScenario):
    """All is stored, then the topic is made again: its offsets begin anew, and so do those that the store keeps.

    A process that meets the new topic before its group has told it so may stop, and is started again.
    """

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        world.excused += "|made again"

    async def work(self) -> None:
        cluster = self.world.cluster
        await self.source.run(until_s=self.befalls_at_s)
        await _decided(self.world)
        await self.world.until(self.drained)
        self.before = list(cluster.records(SCORED))
        self.letters = self.letters_of(cluster.topic(SCORED))
        partitions = len(self.world.partitions(SCORED))
        cluster.delete_topic(SCORED)
        cluster.create_topic(SCORED, partitions)
        await Source(cluster, SCORED, self.chance, count=30, keys=8, over_s=1.0, first=10_000).run()

    def check(self) -> None:
        cluster = self.world.cluster
        letters = self.letters | self.letters_of(cluster.topic(SCORED))
        self.check_stored([*self.before, *cluster.records(SCORED)], letters)


class ExpiredPostgresScenario(ExpiredSinkScenario, PostgresScenario): ...


class ExpiredS3Scenario(ExpiredSinkScenario, S3Scenario): ...


class RecreatedPostgresScenario(RecreatedSinkScenario, PostgresScenario): ...


class RecreatedS3Scenario(RecreatedSinkScenario, S3Scenario): ...


async def _decided(world: World) -> None:
    """Until no transaction is open in the input."""
    topics = {topic for slot in world.slots for topic in slot.stage.inputs}
    logs = [log for topic in topics for log in world.cluster.topic(topic).logs]
    await world.until(lambda: all(log.last_stable_offset == log.high_watermark for log in logs))
