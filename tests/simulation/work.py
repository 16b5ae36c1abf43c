"""Many runs on several processors: what there is to do in pieces, and what each of them gives."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from tests.simulation.mutants import MUTANTS, hunt
from tests.simulation.report import Report, replay_along
from tests.simulation.simulate import SCENARIOS, simulate
from tests.simulation.sweep import STRIKERS, WAYS, sweep

SEEDS_AT_ONCE = 50
_MOST_FAILURES = 10
"""Of one piece: it shows enough."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Of the work under one name.

    Args:
        name: a scenario, of which `count` seeds are run from `first` on; a way, which is swept with `strikes`; or a
            mutant, which is hunted with up to `count` seeds.
    """

    name: str
    first: int = 0
    count: int = 0
    strikes: str = ""


def seeds(scenario: str, first: int, runs: int) -> Iterator[Piece]:
    for at in range(first, first + runs, SEEDS_AT_ONCE):
        yield Piece(scenario, at, min(SEEDS_AT_ONCE, first + runs - at))


def sweeps(way: str) -> Iterator[Piece]:
    for strikes in STRIKERS:
        yield Piece(way, strikes=strikes)


def perform(piece: Piece) -> Report:
    started_s = time.process_time()
    report = Report(piece.name)
    if piece.name in SCENARIOS:
        for seed in range(piece.first, piece.first + piece.count):
            report.take(simulate(piece.name, seed))
            if len(report.failures) == _MOST_FAILURES:
                break
    elif piece.name in WAYS:
        way = WAYS[piece.name]
        for at, result in enumerate(sweep(way, piece.strikes)):
            report.take(result, replay_along(way, piece.strikes, at, result))
    else:
        hunt(piece.name, MUTANTS[piece.name], piece.count, report)
    report.cpu_s = time.process_time() - started_s
    return report


def all_of(pieces: Iterable[Piece], jobs: int, until_s: float = float("inf")) -> Iterator[Report]:
    """What each piece gives, in the order of the pieces; none is begun after `until_s`, in monotonic seconds."""
    timely = (piece for piece in pieces if time.monotonic() <= until_s)
    # Forked, since what a worker needs takes seconds to import.
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        begun: deque[Future[Report]] = deque()
        for piece in timely:
            begun.append(pool.submit(perform, piece))
            if len(begun) > 2 * jobs:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
