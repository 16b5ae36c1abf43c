"""One run from its seed, and the shortest plan of faults that still fails."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random
from traceback import format_exc
from typing import Any, ClassVar, Protocol

from penstock.testing import run_in_virtual_time
from tests.simulation.checks import Reader
from tests.simulation.faults import Fault, Plan, draw
from tests.simulation.scenario_chain import ChainScenario
from tests.simulation.scenario_copy import CopyScenario
from tests.simulation.scenario_dedup import DedupScenario
from tests.simulation.scenario_sinks import PostgresScenario, S3Scenario, in_memory
from tests.simulation.scenario_stops import (
    ExpiredPostgresScenario,
    ExpiredS3Scenario,
    ExpiredScenario,
    OvertakenScenario,
    RecreatedPostgresScenario,
    RecreatedS3Scenario,
    RecreatedScenario,
)
from tests.simulation.size import DRAWN, Size
from tests.simulation.stepped import KilledError, make_task
from tests.simulation.world import Built, Stage, World

Trace = Callable[[str], None]
FAULTS_OVER_S = 5.0
MOST_FAULTS = 12
_LOOK_S = 0.5
_DETAILS = re.compile(r"\(.*\)|; .*", re.DOTALL)
_NUMBERED = re.compile(r"\S*\d\S*(?:\s+\S*\d\S*)*")


class Scenario(Protocol):
    calls: ClassVar[tuple[str, ...]]
    """What a process of it calls: where faults may strike."""
    stages: list[Stage]

    def __init__(self, world: World, chance: Random) -> None: ...

    async def work(self) -> None: ...
    def drained(self) -> bool: ...
    def check(self) -> None: ...


SCENARIOS: dict[str, type[Scenario]] = {
    "copy": CopyScenario,
    "dedup": DedupScenario,
    "postgres": PostgresScenario,
    "s3": S3Scenario,
    "chain": ChainScenario,
    "recreated": RecreatedScenario,
    "recreated-postgres": RecreatedPostgresScenario,
    "recreated-s3": RecreatedS3Scenario,
    "expired": ExpiredScenario,
    "expired-postgres": ExpiredPostgresScenario,
    "expired-s3": ExpiredS3Scenario,
    "overtaken": OvertakenScenario,
}


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended; `error` is empty if all promises were kept."""

    scenario: str
    seed: int
    faults: list[Fault]
    struck: Counter[str]
    met: Counter[str]
    places: set[tuple[str, int]]
    error: str
    simulated_s: float

    @property
    def problem(self) -> str:
        """The kind of the error: its text without the records, partitions, offsets and processes it befell."""
        return _NUMBERED.sub("#", _DETAILS.sub("", self.error))


def faults_of(scenario: str, seed: int) -> list[Fault]:
    """What goes wrong in a run of this seed."""
    return draw(Random(f"faults {seed}"), FAULTS_OVER_S, MOST_FAULTS, SCENARIOS[scenario].calls)


def simulate(
    scenario: str,
    seed: int,
    faults: Sequence[Fault] | None = None,
    built: Built | None = None,
    trace: Trace | None = None,
    size: Size = DRAWN,
) -> Result:
    """One run. The same arguments give the same run, under the same PYTHONHASHSEED.

    Args:
        faults: instead of those that the seed gives.
        built: what the runtime is made of, where something is broken on purpose.
        size: how much goes into it.
    """
    if faults is None:
        faults = faults_of(scenario, seed)
    plan = Plan(faults)
    at_s = 0.0

    async def run() -> None:
        nonlocal at_s
        asyncio.get_running_loop().set_exception_handler(_not_of_the_killed)
        asyncio.get_running_loop().set_task_factory(make_task)
        world = World(plan, Random(f"latencies {seed}"), trace, size)
        if built is not None:
            world.built = built
        test = SCENARIOS[scenario](world, Random(f"work {seed}"))
        reader = Reader(world.cluster)
        looking = asyncio.create_task(_look(reader))
        try:
            await world.run(test.stages, test.work, test.drained)
            if world.cluster.transactions.timed_out:
                plan.meet("a transaction timed out")
            reader.look()
            reader.check()
            test.check()
        finally:
            looking.cancel()
            at_s = world.cluster.now_s

    try:
        with in_memory():
            run_in_virtual_time(run())
        error = ""
    except Exception as failure:  # noqa: BLE001  whatever it is, it is what the run found
        error = f"{type(failure).__name__}: {failure}"
        if trace is not None:
            trace(format_exc())
    return Result(scenario, seed, [*faults], plan.struck, plan.met, plan.places, error, at_s)


async def _look(reader: Reader) -> None:
    """Often at first; a run that lets a week pass has little to show in it."""
    loop = asyncio.get_running_loop()
    while True:
        reader.look()
        await asyncio.sleep(max(_LOOK_S, loop.time() / 20))


def _not_of_the_killed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A killed process leaves errors behind that nobody asks for."""
    if not isinstance(context.get("exception"), KilledError):
        loop.default_exception_handler(context)


def only(faults: Sequence[Fault], keep: Collection[int]) -> list[Fault]:
    """Those with these numbers."""
    return [fault for fault in faults if fault.number in keep]


def shrink(faults: Sequence[Fault], run: Callable[[Sequence[Fault]], Result]) -> Result:
    """The failing run with as few faults as still make it fail in the same way, by `problem`: another is another bug.

    Faults are left out one by one until none can be.
    """
    best = run(faults)
    smaller = True
    while smaller and best.error:
        smaller = False
        for fault in best.faults:
            found = run([other for other in best.faults if other is not fault])
            if found.problem == best.problem:
                best, smaller = found, True
                break
    return best
