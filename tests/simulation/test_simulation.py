"""The runtime keeps its promises under faults. A failing seed says how to play it again."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.simulate import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1200)

RUNS = {"copy": 1000, "dedup": 1000, "postgres": 300, "s3": 300, "chain": 200, "recreated": 100, "expired": 50}
"""How many seeds of each scenario; scripts/simulate goes on from there."""


def simulation(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since a run repeats only under the same PYTHONHASHSEED."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


@cache
def runs_of(scenario: str) -> subprocess.CompletedProcess[str]:
    return simulation("--scenario", scenario, "--runs", str(RUNS[scenario]))


@pytest.mark.verdict("topic made again")
@pytest.mark.verdict("no committed offset")
@pytest.mark.parametrize("scenario", RUNS)
def test_every_promise_is_kept_under_faults(scenario: str) -> None:
    done = runs_of(scenario)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_processes_are_killed_around_every_call_they_make(when: str) -> None:
    """`abort` and `renew` are called seldom, but no call is left out for long."""
    calls = {call for scenario in ("dedup", "s3", "postgres") for call in SCENARIOS[scenario].calls}
    told = "".join(runs_of(scenario).stdout for scenario in RUNS)
    struck = set(re.findall(rf"\d kill {when} (\S+)", told))
    assert struck == calls


def test_a_run_repeats_exactly() -> None:
    first, second = (simulation("--scenario", "dedup", "--seed", "8").stdout for _ in range(2))
    assert first == second
    assert "dedup.0" in first
