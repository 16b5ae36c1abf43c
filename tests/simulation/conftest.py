"""The simulation is run once for all its tests, by a process of its own, and only what the chosen tests need."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import tell
from tests.simulation import report
from tests.simulation.proof import NAMES
from tests.simulation.report import Report

ROOT = Path(__file__).resolve().parents[2]

Simulation = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    """The command line, in a process of its own: a run repeats only under the same PYTHONHASHSEED."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.simulation", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )

    return run


@pytest.fixture(scope="session")
def reports(
    request: pytest.FixtureRequest, simulation: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Report]:
    """What came of each name (a scenario, a way, a mutant) that a chosen test is about."""
    names = [name for name in NAMES if name in _wanted(request.session.items)]
    file = tmp_path_factory.mktemp("simulation") / "reports.json"
    done = simulation("--prove", *names, "--json", file)
    assert file.exists(), done.stdout + done.stderr
    found = report.read(file)
    struck, runs = report.by_kind(report.total(found).struck), report.by_what(found)
    tell(request.config, [*report.table(struck), *report.table(runs), done.stdout.splitlines()[-1]])
    return {one.name: one for one in found}


def _wanted(items: list[pytest.Item]) -> set[str]:
    wanted: set[str] = set()
    for item in items:
        if isinstance(item, pytest.Function) and "reports" in item.fixturenames:
            wanted |= {str(item.callspec.params["name"])} if hasattr(item, "callspec") else {*NAMES}
    return wanted
