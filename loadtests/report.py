"""What a measurement prints: a table for people, the same as JSON, and the targets with what was found."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.comparison import Run, Spread, cpu_ratios, rate_ratios, spread


@dataclass(frozen=True, slots=True)
class Target:
    """One of docs/performance.md's; `at_least` or `below`, whichever is set."""

    what: str
    found: float
    at_least: float | None = None
    below: float | None = None

    @property
    def met(self) -> bool:
        return (self.at_least is None or self.found >= self.at_least) and (
            self.below is None or self.found < self.below
        )

    def __str__(self) -> str:
        asked = f">= {self.at_least:g}" if self.at_least is not None else f"< {self.below:g}"
        return f"{self.what}: {self.found:.2f}, asked {asked}: {'met' if self.met else 'missed'}"


def machine() -> dict[str, Any]:
    """Where it ran, and how busy that was at this moment."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def console() -> Console:
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def show_runs(title: str, runs: Mapping[str, Sequence[Run]], base: str) -> None:
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("contender")
    for heading in ("messages/s", f"of {base}", "CPU s per million", f"of {base}", "waited", "peak MB"):
        table.add_column(heading, justify="right")
    table.add_column("copies")
    for name, done in runs.items():
        table.add_row(
            name,
            told(spread([run.per_s for run in done]), ",.0f"),
            told(rate_ratios(done, runs[base]), ".2f"),
            told(spread([run.cpu_s_per_million for run in done]), ".1f"),
            told(cpu_ratios(done, runs[base]), ".2f"),
            told(spread([run.waited for run in done]), ".0%"),
            f"{max(run.peak_mb for run in done):.0f}",
            _copied(done),
        )
    console().print(table)


def runs_as_json(runs: Mapping[str, Sequence[Run]], base: str) -> dict[str, Any]:
    return {
        name: {
            "per_s": asdict(spread([run.per_s for run in done])),
            f"per_s of {base}": asdict(rate_ratios(done, runs[base])),
            "cpu_s_per_million": asdict(spread([run.cpu_s_per_million for run in done])),
            f"cpu_s of {base}": asdict(cpu_ratios(done, runs[base])),
            "waited": asdict(spread([run.waited for run in done])),
            "peak_mb": max(run.peak_mb for run in done),
            "copies": _copied(done),
            "runs": [asdict(run) for run in done],
        }
        for name, done in runs.items()
    }


def show_targets(targets: Sequence[Target]) -> None:
    for target in targets:
        console().print(str(target), markup=False)


def write(file: Path | None, told: Mapping[str, Any], targets: Sequence[Target]) -> None:
    if file is not None:
        judged = [{**asdict(target), "met": target.met} for target in targets]
        file.write_text(json.dumps({**told, "targets": judged}, indent=2) + "\n")


def told(values: Spread, form: str) -> str:
    return f"{values.median:{form}} ({values.least:{form}} to {values.most:{form}})"


def _copied(runs: Sequence[Run]) -> str:
    what = ["key, value"]
    what += ["headers"] if all(run.headers for run in runs) else []
    what += ["timestamp"] if all(run.timestamps for run in runs) else []
    return ", ".join(what)
