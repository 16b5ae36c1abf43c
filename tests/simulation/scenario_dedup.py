"""The stage with a state: dedup, its window kept by a changelog that is read back after every mishap."""

from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar

from penstock.stream.loop import Loop
from penstock.stream.port import Record
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings
from tests.simulation import checks
from tests.simulation.faults import BROKER_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.scenario_copy import Gated, loop_of
from tests.simulation.window_model import Expected, expect
from tests.simulation.workload import Source, start
from tests.simulation.world import BrokenError, Stage, World

RAW, UNIQUE, DUPLICATES, LATE = "events.raw", "events.unique", "events.duplicates", "events.late"
DEAD, SEEN = "dlq.dedup", "dedup.seen"
WINDOW_MS, GRACE_MS = 2000, 300


def dedup_loop(world: World, process: Process, broker: FaultyBroker, topic_ids: dict[str, str]) -> Loop:
    """Dedup as services/dedup/app.py puts it together, but for the codec."""
    state = world.built.state(SEEN, WindowSettings(WINDOW_MS, GRACE_MS, 1), process.clock)
    _let_die_when_told(process, state)
    return loop_of(world, "dedup", process, broker, Gated(process, Dedup(state, encode, Topics())), topic_ids, state)


def _let_die_when_told(process: Process, state: SeenState) -> None:
    """Around the state's `committed`, which takes no time and awaits nothing, a process may die."""
    committed = state.committed

    def told() -> None:
        process.passes("told", after=False)
        committed()
        process.passes("told", after=True)

    state.committed = told  # type: ignore[method-assign]  # of this instance, whatever class a mutant made it


def encode(fields: object) -> bytes:
    assert isinstance(fields, dict)
    first = fields["first"]
    return b"%d:%d" % (first["partition"], first["offset"])


class DedupScenario:
    """Raw to unique, duplicates and late, with one to three processes."""

    calls: ClassVar[tuple[str, ...]] = (*BROKER_CALLS, "process", "told")
    raw_kept_ms: ClassVar[int | None] = None
    """How long the input is kept; None is for ever."""

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        cluster = world.cluster
        size = world.size
        partitions = size.draw_partitions(chance)
        cluster.create_topic(RAW, partitions, retention_ms=self.raw_kept_ms)
        for topic in (UNIQUE, DUPLICATES, LATE, SEEN):
            cluster.create_topic(topic, partitions)
        cluster.create_topic(DEAD)
        self.topic_ids = {RAW: cluster.topic(RAW).topic_id}
        self.stage = Stage("dedup", (RAW,), self._build, size.draw_slots(chance))
        start(cluster, self.stage.group, RAW)
        self.source = Source(
            cluster, RAW, chance, count=size.draw_records(chance), keys=8, over_s=size.draw_over_s(chance),
            jitter_ms=1000, bad_keys=True, steady=size.steady,
        )  # fmt: skip
        world.source_clocks.append(self.source.clock)
        self.stages = [self.stage]

    def _build(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return dedup_loop(world, process, broker, self.topic_ids)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        return self.world.is_drained(self.stage)

    def check(self) -> None:
        check_window(self.world, checks.has_bad_key)


def check_window(world: World, is_dead: Callable[[Record], bool]) -> list[Record]:
    """Every record of raw went where the rule of the window says, in order; returns those that are unique."""
    cluster, raw = world.cluster, world.cluster.records(RAW)
    good, bad = [r for r in raw if not is_dead(r)], [r for r in raw if is_dead(r)]
    expected = [
        expect([r for r in good if r.partition() == tp.partition], WINDOW_MS, GRACE_MS) for tp in world.partitions(RAW)
    ]
    unique = [r for e in expected for r in e.unique]
    for topic, wanted in (
        (UNIQUE, unique),
        (DUPLICATES, [r for e in expected for r, _ in e.duplicate]),
        (LATE, [r for e in expected for r in e.late]),
        (DEAD, bad),
    ):
        checks.nothing_lost_nothing_doubled(topic, checks.uids(wanted), checks.uids(cluster.records(topic)))
        checks.in_order(topic, wanted, cluster.records(topic))
        if wanted:
            world.plan.meet(f"records in {topic}")
    checks.letters_name(cluster.topic(RAW).topic_id, bad, cluster.records(DEAD))
    _check_originals(world, expected)
    return unique


def _check_originals(world: World, expected: Sequence[Expected]) -> None:
    """A duplicate names the original it is one of."""
    wanted = {checks.uid(r): b"%d:%d" % (u.partition(), u.offset()) for e in expected for r, u in e.duplicate}
    for record in world.cluster.records(DUPLICATES):
        if record.value() != wanted[checks.uid(record)]:
            raise BrokenError(f"{record} is a duplicate of {wanted[checks.uid(record)]!r}")
