"""Runs that leave nothing to chance: one small run, again and again, struck one await later each time.

A way through the runtime is the faults that lead it through what happens seldom: an abort, a new producer,
a commit of unknown outcome, partitions that are lost, a store that somebody else has written to. Swept with a kill,
a way is interrupted wherever it waits, hence before and after every numbered step.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from tests.simulation.faults import AWAIT, Fault
from tests.simulation.simulate import SCENARIOS, Result, Trace, simulate
from tests.simulation.size import SMALL
from tests.simulation.world import Built

ROOT = Path(__file__).resolve().parents[2]
_STRIKER = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """`leads` through what its faults cause, each with a number of its own. Neither its work nor what that takes is
    drawn."""

    scenario: str
    leads: str
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.scenario}-{self.leads}"


def _nth(count: int, kind: str, call: str, length_s: float = 1.0, *, after: bool = False, told: bool = False) -> Fault:
    """A fault at the n-th call, counted over all processes; `told`: the process hears of it at once."""
    return Fault(int(told), 0.0, kind, call, after, length_s, count - 1)


def _way(scenario: str, leads: str, faults: Sequence[Fault] = ()) -> Way:
    """Numbers the faults; a process hears at once of those with odd numbers."""
    return Way(scenario, leads, tuple(replace(fault, number=2 * at + fault.number) for at, fault in enumerate(faults)))


_NEVER_STARTED = (_nth(1, "fail", "start"), Fault(0, 0.02, "scale down", length_s=0.5))
"""The first process is told to stop while it waits to try again."""
_BETWEEN_TOPICS = {
    "nowhere": (),
    "through-aborts": (
        _nth(2, "fail", "process"),
        _nth(4, "fail", "process"),
        _nth(6, "fail", "process"),
        _nth(2, "commit: refused", "commit"),
        _nth(3, "commit: answer lost", "commit"),
        _nth(8, "produce: half, then an error", "produce"),
    ),
    "to-new-producers": (
        *_NEVER_STARTED,
        _nth(2, "fail", "process"),
        _nth(4, "fail", "process"),
        _nth(6, "fail", "process"),
        _nth(1, "abort: fenced", "abort"),
        _nth(2, "commit: fenced, done", "commit"),
        _nth(3, "commit: request lost", "commit", 9.0),
    ),
    "to-other-partitions": (
        _nth(2, "thrown out of the group", "produce", after=True, told=True),
        _nth(5, "markers late", "produce", 2.0),
        _nth(5, "rebalance", "produce", after=True, told=True),
        _nth(7, "scale down", "produce", 0.5, after=True),
    ),
}
_INTO_A_STORE = {
    "nowhere": (),
    "through-failures": (
        _nth(1, "fail", "prepare"),
        _nth(1, "fail", "produce"),
        _nth(2, "commit: answer lost", "commit"),
        _nth(5, "commit: refused", "commit"),
        _nth(6, "commit: fenced, done", "commit"),
    ),
    "to-other-partitions": (
        _nth(3, "rebalance", "prepare", after=True, told=True),
        _nth(5, "thrown out of the group", "prepare", after=True, told=True),
        _nth(6, "scale down", "prepare", 0.5, after=True),
    ),
}
_SEED = 3
_ALL = [
    *(_way(name, leads, faults) for name in ("copy", "dedup") for leads, faults in _BETWEEN_TOPICS.items()),
    *(_way(name, leads, faults) for name in ("postgres", "s3") for leads, faults in _INTO_A_STORE.items()),
    _way("postgres", "behind-somebody-else", (_nth(2, "freeze", "table.put", 2.8),)),
    _way("s3", "behind-somebody-else", (_nth(2, "freeze", "objects.create", 2.8),)),
    _way("expired", "nowhere"),
]
WAYS = {way.name: way for way in _ALL}
AT_CALLS = "kill-at-calls"
STRIKERS = {"kill": 0.5, "freeze": 4.5, AT_CALLS: 0.5}
"""What is swept over a way, and how long it lasts: longer than a session and a transaction's time-out, if it is to be
a zombie that wakes. Two strike one await after the other, the third before and after the first call of each kind."""


def go(way: Way, strikes: str = "", at: int = 0, built: Built | None = None, trace: Trace | None = None) -> Result:
    """One run along a way, struck once: at the await with this number, counted over all processes, or at a call."""
    return go_with(way, struck_by(way, strikes, at) if strikes else way.faults, built, trace)


def go_with(way: Way, faults: Sequence[Fault], built: Built | None = None, trace: Trace | None = None) -> Result:
    """The same with these faults, and no others."""
    return simulate(way.scenario, _SEED, faults, built, trace, SMALL)


def struck_by(way: Way, strikes: str, at: int) -> list[Fault]:
    """The way's faults, and the one that strikes it."""
    return [*way.faults, _striker(way, strikes, at)]


def _striker(way: Way, strikes: str, at: int) -> Fault:
    if strikes == AT_CALLS:
        call, after = _calls(way)[at]
        return Fault(_STRIKER, 0.0, "kill", call, after, STRIKERS[strikes])
    return Fault(_STRIKER, 0.0, strikes, AWAIT, length_s=STRIKERS[strikes], skip=at)


def _calls(way: Way) -> list[tuple[str, bool]]:
    return [(call, after) for call in SCENARIOS[way.scenario].calls for after in (False, True)]


def sweep(way: Way, strikes: str) -> Iterator[Result]:
    """One run for every await of the way, or for each call that a process may make."""
    if strikes == AT_CALLS:
        yield from (go(way, strikes, at) for at in range(len(_calls(way))))
        return
    for at in count():
        result = go(way, strikes, at)
        if not any(name.startswith(strikes) and name.endswith(" await") for name in result.struck):
            return
        yield result


RUNTIME = ("penstock/stream/beginning.py", "penstock/stream/loop.py", "penstock/stream/restore.py",
           "penstock/stream/sink_loop.py", "penstock/stream/widen.py", "penstock/lake/chain.py",
           "services/sink/postgres/sink.py", "services/sink/s3/sink.py", "services/sink/s3/writer.py")  # fmt: skip
"""The files whose every await has to be struck."""


_OF_OTHERS = {"manifests", "paths_of_manifests"}
"""Functions in them that only the ledger and the vacuum call."""
_OF_THE_VALVE = "self._let_go(set(self._taken))"
"""Awaited by a sink that stops for its dead letters: the valve is not part of any way."""


def awaits() -> set[tuple[str, int]]:
    """File and line of every await in these files."""
    found = set()
    for name in RUNTIME:
        for function in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(function, ast.AsyncFunctionDef) and function.name not in _OF_OTHERS:
                found |= {
                    (name, node.lineno)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Await) and ast.unparse(node.value) != _OF_THE_VALVE
                }
    return found


def struck(result: Result) -> set[tuple[str, int]]:
    """The awaits at which something struck."""
    return {(str(Path(file).relative_to(ROOT)), line) for file, line in result.places if file.startswith(str(ROOT))}
