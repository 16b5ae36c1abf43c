"""The whole chain: raw, dedup, enrich, sentiment, both sinks; all their processes in one run.

What ingest writes comes from two sources, each with a clock of its own.
"""

import asyncio
from random import Random
from typing import ClassVar

from penstock.stream.loop import Loop
from tests.simulation import checks, scenario_dedup
from tests.simulation.faults import BROKER_CALLS, OBJECT_CALLS, TABLE_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.scenario_copy import loop_of, widen
from tests.simulation.scenario_dedup import DUPLICATES, LATE, RAW, UNIQUE, check_window, dedup_loop
from tests.simulation.scenario_sinks import PostgresScenario, S3Scenario
from tests.simulation.workload import BAD, REFUSED, UNMOVED, Source, start
from tests.simulation.world import Stage, World

ENRICHED = "events.enriched"
DEAD_AT_ENRICH, DEAD_AT_SENTIMENT = "dlq.enrich", "dlq.sentiment"


class ChainScenario:
    """What is in the stores at the end is what went in first, uid by uid."""

    calls: ClassVar[tuple[str, ...]] = (*BROKER_CALLS, "process", "prepare", "told", *TABLE_CALLS, *OBJECT_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        cluster, size = world.cluster, world.size
        self.postgres, self.s3 = PostgresScenario(world, chance), S3Scenario(world, chance)
        self.scored = self.postgres.topic
        for topic in (RAW, UNIQUE, DUPLICATES, LATE, scenario_dedup.SEEN, ENRICHED):
            cluster.create_topic(topic, len(world.partitions(self.scored)))
        for topic in (scenario_dedup.DEAD, DEAD_AT_ENRICH, DEAD_AT_SENTIMENT):
            cluster.create_topic(topic)
        self.topic_ids = {topic: cluster.topic(topic).topic_id for topic in (RAW, UNIQUE, ENRICHED)}
        dedup = Stage("dedup", (RAW,), self._dedup, size.draw_slots(chance, 2))
        enrich = Stage("enrich", (UNIQUE,), self._enrich, size.draw_slots(chance, 2))
        sentiment = Stage("sentiment", (ENRICHED,), self._sentiment, size.draw_slots(chance, 2))
        self.loops = [dedup, enrich, sentiment]
        self.stages = [*self.loops, self.postgres.stage, self.s3.stage]
        for stage in self.loops:
            start(cluster, stage.group, *stage.inputs)
        count, over_s = size.draw_records(chance, 30), size.draw_over_s(chance)
        self.sources = [
            Source(
                cluster, RAW, chance, count=count, keys=20, over_s=over_s, jitter_ms=1000,
                special=(BAD, UNMOVED, REFUSED), first=1000 * number, name=f"ingest.{number}",
            )
            for number in range(2)
        ]  # fmt: skip
        world.source_clocks += [source.clock for source in self.sources]

    def _dedup(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return dedup_loop(world, process, broker, self.topic_ids)

    def _enrich(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return loop_of(world, "enrich", process, broker, widen(process, ENRICHED, fails_on=None), self.topic_ids)

    def _sentiment(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return loop_of(world, "sentiment", process, broker, widen(process, self.scored), self.topic_ids)

    async def work(self) -> None:
        await asyncio.gather(*(source.run() for source in self.sources))

    def drained(self) -> bool:
        """In the order of the flow, so that nothing can come after it was looked for."""
        loops = all(self.world.is_drained(stage) for stage in self.loops)
        return loops and self.postgres.drained() and self.s3.drained()

    def check(self) -> None:
        cluster = self.world.cluster
        unique = check_window(self.world, lambda _: False)
        enriched = [r for r in unique if not checks.is_bad(r)]
        scored = [r for r in enriched if not checks.is_unmoved(r)]
        for topic, wanted in (
            (ENRICHED, enriched),
            (DEAD_AT_ENRICH, [r for r in unique if checks.is_bad(r)]),
            (self.scored, scored),
            (DEAD_AT_SENTIMENT, [r for r in enriched if checks.is_unmoved(r)]),
        ):
            checks.nothing_lost_nothing_doubled(topic, checks.uids(wanted), checks.uids(cluster.records(topic)))
            checks.in_order(topic, wanted, cluster.records(topic))
        for sink in (self.postgres, self.s3):
            sink.check_stored(scored, sink.letters_of(cluster.topic(self.scored)))
