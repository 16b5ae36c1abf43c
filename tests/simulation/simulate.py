"""One run from its seed, many runs, and the shortest plan of faults that still fails."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from traceback import format_exc
from typing import ClassVar, Protocol

from penstock.testing import run_in_virtual_time
from tests.simulation.faults import Fault, Plan, draw
from tests.simulation.scenario_chain import ChainScenario
from tests.simulation.scenario_copy import CopyScenario
from tests.simulation.scenario_dedup import DedupScenario
from tests.simulation.scenario_sinks import PostgresScenario, S3Scenario
from tests.simulation.scenario_stops import ExpiredScenario, RecreatedScenario
from tests.simulation.world import Built, Stage, World

FAULTS_OVER_S = 5.0
MOST_FAULTS = 12


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
    "expired": ExpiredScenario,
}


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended; `error` is empty if all promises were kept."""

    scenario: str
    seed: int
    faults: list[Fault]
    struck: Counter[str]
    error: str
    simulated_s: float


def simulate(
    scenario: str,
    seed: int,
    keep: Collection[int] | None = None,
    built: Built | None = None,
    trace: Callable[[str], None] | None = None,
) -> Result:
    """One run. The same arguments give the same run, under the same PYTHONHASHSEED.

    Args:
        keep: the numbers of the faults to let happen; all if None.
        built: what the runtime is made of, where something is broken on purpose.
    """
    kind = SCENARIOS[scenario]
    drawn = draw(Random(f"faults {seed}"), FAULTS_OVER_S, MOST_FAULTS, kind.calls)
    faults = [fault for fault in drawn if keep is None or fault.number in keep]
    plan = Plan(faults)
    at_s = 0.0

    async def run() -> None:
        nonlocal at_s
        world = World(plan, Random(f"latencies {seed}"), trace)
        if built is not None:
            world.built = built
        test = kind(world, Random(f"work {seed}"))
        try:
            await world.run(test.stages, test.work, test.drained)
            test.check()
        finally:
            at_s = world.cluster.now_s

    try:
        run_in_virtual_time(run())
        error = ""
    except Exception as failure:  # noqa: BLE001  whatever it is, it is what the run found
        error = f"{type(failure).__name__}: {failure}"
        if trace is not None:
            trace(format_exc())
    return Result(scenario, seed, faults, plan.struck, error, at_s)


def shrink(scenario: str, seed: int, built: Built | None = None) -> Result:
    """The failing run with as few faults as still make it fail; faults are left out one by one until none can be."""
    best = simulate(scenario, seed, None, built)
    smaller = True
    while smaller and best.error:
        smaller = False
        for fault in best.faults:
            keep = {other.number for other in best.faults} - {fault.number}
            found = simulate(scenario, seed, keep, built)
            if found.error:
                best, smaller = found, True
                break
    return best
