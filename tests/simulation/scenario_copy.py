"""The stage without a state: what comes in goes out, what is bad goes to the dead letters."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import ClassVar

from penstock.errors import DataError
from penstock.stream.assignment import Assignment
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Asking, Handler, Output, State
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Record
from penstock.stream.restore import Restore
from penstock.stream.settings import LoopSettings
from penstock.stream.valve import ValveSettings
from penstock.stream.widen import Fields, Widen
from tests.simulation import checks
from tests.simulation.faults import BROKER_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.workload import BAD, UNMOVED, Source, start
from tests.simulation.world import Stage, World

CALLS = (*(call for call in BROKER_CALLS if call not in ("end_offsets", "begin_offsets", "read", "delete_records")),
         "process", "prepare")  # fmt: skip
RAW, OUT, DEAD = "events.raw", "events.out", "dlq.copy"


class Gated:
    """A handler behind the border where faults strike."""

    def __init__(self, process: Process, inner: Handler) -> None:
        self._process = process
        self._inner = inner

    async def process(self, batch: Sequence[Record]) -> Output:
        await self._process.enter("process")
        output = await self._inner.process(batch)
        await self._process.leave("process")
        return output


class GatedAsking(Gated):
    """One that has to ask the registry now and then."""

    def __init__(self, process: Process, inner: Asking) -> None:
        super().__init__(process, inner)
        self._asking = inner

    def must_ask(self, batch: Sequence[Record]) -> bool:
        return self._asking.must_ask(batch)

    async def ask(self, batch: Sequence[Record]) -> None:
        await self._asking.ask(batch)


class Codec:
    """Stands for a decoder: a record is its value, and what is bad cannot be decoded.

    There are three schemas; each is asked for when it is first met, one at a time.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._known: set[int] = set()

    def lacks(self, values: Iterable[bytes | None]) -> bool:
        return not self._known.issuperset(map(_schema, values))

    async def prepare(self, values: Iterable[bytes | None], *, at_most: int | None = None) -> None:
        """The registry may be away."""
        await self._process.enter("prepare")
        self._known.add(next(schema for schema in map(_schema, values) if schema not in self._known))
        await self._process.leave("prepare")

    def decode(self, value: bytes | None) -> Fields:
        if value == BAD:
            raise DataError("bad", "it is bad")
        return {"value": value}


def _schema(value: bytes | None) -> int:
    return value[-1] % 3 if value else 0


def widen(process: Process, out: str, fails_on: bytes | None = UNMOVED) -> Handler:
    """Enrich or sentiment, but for the model and the codec."""

    def judge(fields: Sequence[Fields]) -> Sequence[Fields]:
        if any(one["value"] == fails_on for one in fields):
            raise ValueError("the model fails on this")
        return [{} for _ in fields]

    return GatedAsking(process, Widen(Codec(process), judge, lambda fields: bytes(fields["value"]), out, 1_000_000))


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
        restore_chunk_records=3,
        valve=ValveSettings(share=1.0),
        idle_poll_s=0.5,  # half of the idle turns, for half of the time
    )
    letters = DeadLetters(stage, checks.encode_letter, topic_ids, process.clock)
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
        size = world.size
        partitions = size.draw_partitions(chance)
        for topic in (RAW, OUT, DEAD):
            cluster.create_topic(topic, partitions if topic != DEAD else 1)
        self.topic_ids = {RAW: cluster.topic(RAW).topic_id}
        self.stage = Stage("copy", (RAW,), self._build, size.draw_slots(chance))
        start(cluster, self.stage.group, RAW)
        self.source = Source(
            cluster,
            RAW,
            chance,
            count=size.draw_records(chance),
            keys=5,
            over_s=size.draw_over_s(chance),
            steady=size.steady,
        )
        self.stages = [self.stage]

    def _build(self, world: World, process: Process, broker: FaultyBroker) -> Loop:
        return loop_of(world, "copy", process, broker, widen(process, OUT), self.topic_ids)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        return self.world.is_drained(self.stage)

    def check(self) -> None:
        cluster = self.world.cluster
        raw, out, dead = cluster.records(RAW), cluster.records(OUT), cluster.records(DEAD)
        good, bad = [r for r in raw if not checks.is_bad(r)], [r for r in raw if checks.is_bad(r)]
        checks.nothing_lost_nothing_doubled("out", checks.uids(good), checks.uids(out))
        checks.nothing_lost_nothing_doubled("dead letters", checks.uids(bad), checks.uids(dead))
        checks.in_order("out", good, out)
        checks.in_order("dead letters", bad, dead)
        checks.letters_name(cluster.topic(RAW).topic_id, bad, dead)
