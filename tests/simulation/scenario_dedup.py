"""The stage with a state: dedup, its window kept by a changelog that is read back after every mishap."""

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from penstock.stream.handler import Output
from penstock.stream.loop import Loop
from penstock.stream.port import Record
from services.dedup.handler import Dedup, Topics
from services.dedup.state import WindowSettings
from tests.simulation import checks
from tests.simulation.faults import BROKER_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.scenario_copy import loop_of
from tests.simulation.window_model import Expected, expect
from tests.simulation.workload import Source, start
from tests.simulation.world import BrokenError, Stage, World

RAW, UNIQUE, DUPLICATES, LATE = "events.raw", "events.unique", "events.duplicates", "events.late"
DEAD, SEEN = "dlq.dedup", "dedup.seen"
WINDOW_MS, GRACE_MS = 2000, 300


class GatedDedup:
    """The real handler, behind the border where faults strike."""

    def __init__(self, process: Process, inner: Dedup) -> None:
        self._process = process
        self._inner = inner

    async def process(self, batch: Sequence[Record]) -> Output:
        await self._process.enter("process")
        output = await self._inner.process(batch)
        await self._process.leave("process")
        return output


def dedup_loop(world: World, process: Process, broker: FaultyBroker, topic_ids: dict[str, str]) -> Loop:
    """Dedup as services/dedup/app.py puts it together, but for the codec."""
    state = world.built.state(SEEN, WindowSettings(WINDOW_MS, GRACE_MS, 1), process.clock)
    handler = GatedDedup(process, Dedup(state, encode, Topics()))
    return loop_of(world, "dedup", process, broker, handler, topic_ids, state)


class DedupScenario:
    """Raw to unique, duplicates and late, with one to three processes."""

    calls: ClassVar[tuple[str, ...]] = (*BROKER_CALLS, "process")

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        cluster = world.cluster
        partitions = chance.randint(1, 3)
        for topic in (RAW, UNIQUE, DUPLICATES, LATE, SEEN):
            cluster.create_topic(topic, partitions)
        cluster.create_topic(DEAD)
        self.topic_ids = {RAW: cluster.topic(RAW).topic_id}
        self.stage = Stage("dedup", (RAW,), self._build, slots=chance.randint(1, 3))
        start(cluster, self.stage.group, RAW)
        self.source = Source(
            cluster, RAW, chance, count=chance.randint(5, 60), keys=8, over_s=chance.uniform(1, 6), jitter_ms=1000,
            bad_keys=True,
        )  # fmt: skip
        self.stages = [self.stage]

    def _build(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return dedup_loop(world, process, broker, self.topic_ids)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        return self.world.is_drained(self.stage)

    def check(self) -> None:
        cluster = self.world.cluster
        good = [r for r in cluster.records(RAW) if not checks.has_bad_key(r)]
        bad = [r for r in cluster.records(RAW) if checks.has_bad_key(r)]
        expected = [
            expect([r for r in good if r.partition() == tp.partition], WINDOW_MS, GRACE_MS)
            for tp in self.world.partitions(RAW)
        ]
        unique, late = cluster.records(UNIQUE), cluster.records(LATE)
        for what, wanted, found in (
            ("unique", [r for e in expected for r in e.unique], unique),
            ("duplicates", [r for e in expected for r, _ in e.duplicate], cluster.records(DUPLICATES)),
            ("late", [r for e in expected for r in e.late], late),
            ("dead letters", bad, cluster.records(DEAD)),
        ):
            checks.nothing_lost_nothing_doubled(what, map(checks.uid, wanted), map(checks.uid, found))
        checks.in_order("unique", [r for e in expected for r in e.unique], unique)
        checks.in_order("late", [r for e in expected for r in e.late], late)
        self._check_originals(expected)

    def _check_originals(self, expected: Sequence[Expected]) -> None:
        """A duplicate names the original it is one of."""
        wanted = {checks.uid(r): b"%d:%d" % (u.partition(), u.offset()) for e in expected for r, u in e.duplicate}
        for record in self.world.cluster.records(DUPLICATES):
            if record.value() != wanted[checks.uid(record)]:
                raise BrokenError(f"{record} is a duplicate of {wanted[checks.uid(record)]!r}")


def encode(fields: object) -> bytes:
    assert isinstance(fields, dict)
    first = fields["first"]
    return b"%d:%d" % (first["partition"], first["offset"])
