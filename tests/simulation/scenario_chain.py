"""The whole chain: raw, dedup, a stage that widens, both sinks; all their processes in one run."""

from random import Random
from typing import ClassVar

from penstock.stream.loop import Loop
from penstock.stream.port import Record
from tests.simulation import checks, scenario_dedup
from tests.simulation.faults import BROKER_CALLS, OBJECT_CALLS, TABLE_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.scenario_copy import Copy, loop_of
from tests.simulation.scenario_dedup import DUPLICATES, LATE, RAW, UNIQUE, dedup_loop
from tests.simulation.scenario_sinks import PostgresScenario, S3Scenario
from tests.simulation.window_model import expect
from tests.simulation.workload import Source, start
from tests.simulation.world import Stage, World

DEAD_AT_ENRICH = "dlq.enrich"


class ChainScenario:
    """What is in the stores at the end is what went in first, uid by uid."""

    calls: ClassVar[tuple[str, ...]] = (*BROKER_CALLS, "process", *TABLE_CALLS, *OBJECT_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        cluster = world.cluster
        self.postgres, self.s3 = PostgresScenario(world, chance), S3Scenario(world, chance)
        self.scored = self.postgres.topic
        for topic in (RAW, UNIQUE, DUPLICATES, LATE, scenario_dedup.SEEN):
            cluster.create_topic(topic, len(world.partitions(self.scored)))
        for topic in (scenario_dedup.DEAD, DEAD_AT_ENRICH):
            cluster.create_topic(topic)
        self.topic_ids = {topic: cluster.topic(topic).topic_id for topic in (RAW, UNIQUE)}
        dedup = Stage("dedup", (RAW,), self._dedup, slots=chance.randint(1, 2))
        enrich = Stage("enrich", (UNIQUE,), self._enrich, slots=chance.randint(1, 2))
        self.stages = [dedup, enrich, self.postgres.stage, self.s3.stage]
        start(cluster, dedup.group, RAW)
        start(cluster, enrich.group, UNIQUE)
        self.source = Source(
            cluster, RAW, chance, count=chance.randint(5, 60), keys=20, over_s=chance.uniform(1, 6), jitter_ms=1000
        )

    def _dedup(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return dedup_loop(world, process, broker, self.topic_ids)

    def _enrich(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return loop_of(world, "enrich", process, broker, Copy(process, self.scored), self.topic_ids)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        """In the order of the flow, so that nothing can come after it was looked for."""
        loops = all(self.world.is_drained(stage) for stage in self.stages[:2])
        return loops and self.postgres.drained() and self.s3.drained()

    def check(self) -> None:
        cluster = self.world.cluster
        raw = cluster.records(RAW)
        expected = [
            expect([r for r in raw if r.partition() == tp.partition], scenario_dedup.WINDOW_MS, scenario_dedup.GRACE_MS)
            for tp in self.world.partitions(RAW)
        ]
        unique = [r for e in expected for r in e.unique]
        good, bad = [r for r in unique if not checks.is_bad(r)], [r for r in unique if checks.is_bad(r)]
        for what, wanted, found in (
            (UNIQUE, unique, cluster.records(UNIQUE)),
            (DUPLICATES, [r for e in expected for r, _ in e.duplicate], cluster.records(DUPLICATES)),
            (LATE, [r for e in expected for r in e.late], cluster.records(LATE)),
            (self.scored, good, cluster.records(self.scored)),
            (DEAD_AT_ENRICH, bad, cluster.records(DEAD_AT_ENRICH)),
        ):
            checks.nothing_lost_nothing_doubled(what, map(checks.uid, wanted), map(checks.uid, found))
        checks.in_order(self.scored, good, cluster.records(self.scored))
        self._check_stores(good)

    def _check_stores(self, good: list[Record]) -> None:
        for what, sink in (("Postgres", self.postgres), ("S3", self.s3)):
            checks.nothing_lost_nothing_doubled(what, map(checks.uid, good), sink.stored())
