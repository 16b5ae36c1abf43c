"""The stage without a state: what comes in goes out, what is bad goes to the dead letters."""

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from penstock.errors import DataError
from penstock.stream.assignment import Assignment
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Dead, Handler, Output, State
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Record
from penstock.stream.restore import Restore
from penstock.stream.settings import LoopSettings
from tests.simulation import checks
from tests.simulation.faults import BROKER_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.workload import Source, start
from tests.simulation.world import Stage, World

CALLS = (*(call for call in BROKER_CALLS if call not in ("end_offsets", "begin_offsets", "read", "delete_records")),
         "process")  # fmt: skip
RAW, OUT, DEAD = "events.raw", "events.out", "dlq.copy"


class Copy:
    def __init__(self, process: Process, out: str) -> None:
        self._process = process
        self._out = out
        self._known: set[bytes | None] = set()

    def must_ask(self, batch: Sequence[Record]) -> bool:
        return not self._known.issuperset(record.key() for record in batch)

    async def ask(self, batch: Sequence[Record]) -> None:
        await self._process.enter("process")
        self._known.add(next(record.key() for record in batch if record.key() not in self._known))
        await self._process.leave("process")

    async def process(self, batch: Sequence[Record]) -> Output:
        await self._process.enter("process")
        good = [record for record in batch if not checks.is_bad(record)]
        dead = [Dead(record, DataError("bad", "it is bad")) for record in batch if checks.is_bad(record)]
        await self._process.leave("process")
        return Output(forward={self._out: good} if good else {}, dead=dead)


def loop_of(
    world: World,
    stage: str,
    process: Process,
    broker: FaultyBroker,
    handler: Handler,
    topic_ids: dict[str, str],
    state: State | None = None,
) -> Loop:
    """The real loop, with settings as much smaller as the simulation's time-outs are."""
    settings = LoopSettings(
        stage,
        max_records=world.max_records,
        commit_deadline_s=2.0,
        restore_deadline_s=20.0,
        retry_pause_s=0.05,
        backoff_start_s=0.05,
        backoff_max_s=1.0,
        housekeeping_s=1.0,
    )
    letters = DeadLetters(stage, lambda fields: b"%d" % fields["offset"], topic_ids, process.clock)  # type: ignore[str-format]
    meter = Meter(stage, world.metrics, process.clock)
    loop = world.built.loop(broker, handler, letters, settings, process.clock, meter, state)
    if world.built.assignment is not Assignment or world.built.restore is not Restore:
        loop._assignment = world.built.assignment()
        loop._restore = world.built.restore(broker, loop._assignment, settings, process.clock, state)
    return loop


class CopyScenario:
    """Raw to out, with one to three processes."""

    calls: ClassVar[tuple[str, ...]] = CALLS

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        cluster = world.cluster
        partitions = chance.randint(1, 3)
        for topic in (RAW, OUT, DEAD):
            cluster.create_topic(topic, partitions if topic != DEAD else 1)
        self.topic_ids = {RAW: cluster.topic(RAW).topic_id}
        self.stage = Stage("copy", (RAW,), self._build, slots=chance.randint(1, 3))
        start(cluster, self.stage.group, RAW)
        self.source = Source(cluster, RAW, chance, count=chance.randint(5, 60), keys=5, over_s=chance.uniform(1, 6))
        self.stages = [self.stage]

    def _build(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return loop_of(world, "copy", process, broker, Copy(process, OUT), self.topic_ids)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        return self.world.is_drained(self.stage)

    def check(self) -> None:
        cluster = self.world.cluster
        raw, out, dead = cluster.records(RAW), cluster.records(OUT), cluster.records(DEAD)
        checks.nothing_lost_nothing_doubled(
            "out", [checks.uid(r) for r in raw if not checks.is_bad(r)], [checks.uid(r) for r in out]
        )
        checks.nothing_lost_nothing_doubled(
            "dead letters", [checks.uid(r) for r in raw if checks.is_bad(r)], [checks.uid(r) for r in dead]
        )
        checks.in_order("out", [r for r in raw if not checks.is_bad(r)], out)
