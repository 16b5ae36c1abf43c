"""What became of some runs: how many there were, what struck them, which of them broke a promise."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.simulation.faults import Fault, kind_of
from tests.simulation.simulate import SCENARIOS, Result, faults_of
from tests.simulation.sweep import WAYS, Way, struck, struck_by

COMMAND = "scripts/simulate"


@dataclass(slots=True)
class Report:
    """Of what goes by one name: a scenario, a way, a mutant.

    Args:
        failures: what was broken, and the command that shows it again, in lines of text.
        caught: how a mutant was.
        struck, met: counts by name of faults, and of tight places that runs came into.
        places: `file:line` of the awaits at which something struck.
    """

    name: str
    runs: int = 0
    failures: list[str] = field(default_factory=list)
    caught: str = ""
    struck: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    places: set[str] = field(default_factory=set)
    simulated_s: float = 0.0
    cpu_s: float = 0.0

    def take(self, result: Result, again: str = "") -> None:
        self.runs += 1
        self.struck.update(result.struck)
        self.met.update(result.met)
        self.places.update(f"{file}:{line}" for file, line in struck(result))
        self.simulated_s += result.simulated_s
        if result.error:
            again = again or replay(result)
            smaller = f"\n  smaller: {again} --shrink" if len(result.faults) > 1 else ""
            self.failures.append(f"{result.error}\n  again:   {again}{smaller}")

    def add(self, other: "Report") -> None:
        self.runs += other.runs
        self.failures += other.failures
        self.caught = self.caught or other.caught
        self.struck.update(other.struck)
        self.met.update(other.met)
        self.places |= other.places
        self.simulated_s += other.simulated_s
        self.cpu_s += other.cpu_s


def replay(result: Result, mutant: str = "") -> str:
    """The command that repeats this run."""
    command = f"{_command(mutant)} --scenario {result.scenario} --seed {result.seed}"
    return command + _kept(result.faults, faults_of(result.scenario, result.seed))


def replay_along(way: Way, strikes: str, at: int, result: Result, mutant: str = "") -> str:
    """The command that repeats this run along a way."""
    command = f"{_command(mutant)} --way {way.name} --strike {strikes} --at {at}"
    return command + _kept(result.faults, struck_by(way, strikes, at))


def _command(mutant: str) -> str:
    return f"{COMMAND} --mutant {mutant}" if mutant else COMMAND


def _kept(faults: Sequence[Fault], of: Sequence[Fault]) -> str:
    return "" if faults == of else f" --keep {','.join(str(fault.number) for fault in faults)!r}"


def total(reports: Iterable[Report], name: str = "in all") -> Report:
    whole = Report(name)
    for report in reports:
        whole.add(report)
    return whole


def table(counts: Counter[str]) -> list[str]:
    return [f"{count:10,} {name}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def by_kind(counts: Counter[str]) -> Counter[str]:
    """Counts of faults by kind alone, wherever they struck."""
    kinds: Counter[str] = Counter()
    for name, count in counts.items():
        kinds[kind_of(name)] += count
    return kinds


def by_what(reports: Iterable[Report]) -> Counter[str]:
    """Counts of runs: of seeds, each drawn anew, along ways, which all have one seed, and to catch mutants."""
    runs: Counter[str] = Counter()
    for one in reports:
        of = "seeds" if one.name in SCENARIOS else "ways, all of one seed" if one.name in WAYS else "mutants"
        runs[f"runs of {of}"] += one.runs
    return runs


def told(reports: Iterable[Report], wall_s: float) -> list[str]:
    """In lines of text: the counts of faults, of tight places, and of runs."""
    reports = list(reports)
    whole = total(reports)
    width = max((len(one.name) for one in reports), default=0)
    return [
        "faults that struck:",
        *table(by_kind(whole.struck)),
        "tight places:",
        *table(whole.met),
        *(f"{one.runs:10,} runs of {one.name:{width}} {one.cpu_s:6.1f} s of CPU" for one in reports),
        *table(by_what(reports)),
        f"{whole.runs:,} runs in {wall_s:.0f} s ({whole.cpu_s:.0f} s of CPU): {whole.simulated_s / 3600:,.1f} hours"
        f" simulated, {whole.struck.total():,} faults of {len(whole.struck)} kinds and places, {len(whole.failures)}"
        " runs failed",
    ]


def write(reports: Iterable[Report], path: Path) -> None:
    path.write_text(json.dumps([_as_json(report) for report in reports]))


def _as_json(report: Report) -> dict[str, object]:
    # Not asdict, which makes a Counter of a Counter's pairs.
    return {one.name: getattr(report, one.name) for one in fields(report)} | {"places": sorted(report.places)}


def read(path: Path) -> list[Report]:
    found = [Report(**told) for told in json.loads(path.read_text())]
    for report in found:
        report.struck, report.met, report.places = Counter(report.struck), Counter(report.met), set(report.places)
    return found
