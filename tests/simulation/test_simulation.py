"""The runtime keeps its promises under faults. A failing seed says how to play it again."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from tests.simulation.conftest import Simulation
from tests.simulation.faults import HANDLER_CALLS, KINDS, Fault
from tests.simulation.report import Report, by_kind, total
from tests.simulation.simulate import SCENARIOS, Result, shrink
from tests.simulation.sweep import WAYS, awaits, go

pytestmark = pytest.mark.timeout(1200)
Reports = Mapping[str, Report]

TIGHT_PLACES = {
    "a zombie woke with a commit in hand",
    "a transaction timed out",
    "a restore was interrupted",
    "a commit ended aborted by itself",
    "a commit ended fenced by itself",
    "a commit ended unknown by itself",
    "revoked inside a transaction",
    "lost inside a transaction",
    "somebody else had stored it",
    "records in events.unique",
    "records in events.duplicates",
    "records in events.late",
    "records in dlq.dedup",
}
"""Where the mechanisms are needed: a simulation that never comes there shows nothing."""


@pytest.mark.verdict("topic made again")
@pytest.mark.verdict("no committed offset")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_promise_is_kept_under_faults(reports: Reports, name: str) -> None:
    assert reports[name].failures == []


@pytest.mark.parametrize("name", WAYS)
def test_a_process_may_die_or_sleep_at_every_await(reports: Reports, name: str) -> None:
    assert reports[name].failures == []


def test_there_are_enough_runs(reports: Reports) -> None:
    chain = reports["chain"].runs
    one_stage = sum(reports[name].runs for name in (*SCENARIOS, *WAYS)) - chain
    assert one_stage >= 10_000
    assert chain >= 1_000


def test_every_kind_of_fault_struck(reports: Reports) -> None:
    assert by_kind(total(reports.values()).struck).keys() == {*KINDS}


def test_every_tight_place_was_reached(reports: Reports) -> None:
    assert total(reports.values()).met.keys() >= TIGHT_PLACES


def test_processes_were_killed_before_and_after_every_numbered_step(reports: Reports) -> None:
    """Of both loops: 1 poll, 2 process or prepare, 3 produce or put, 4 commit, 5 told; and every other call."""
    struck = total(reports.values()).struck
    calls = {call for scenario in SCENARIOS.values() for call in scenario.calls}
    assert {"poll", "produce", "commit", "table.put", "objects.create", *HANDLER_CALLS} <= calls
    assert {f"kill {when} {call}" for call in calls for when in ("before", "after")} <= struck.keys()


def test_processes_were_struck_at_every_await_of_the_runtime(reports: Reports) -> None:
    """By the sweeps alone, which leave nothing to chance."""
    struck = {place for name in WAYS for place in reports[name].places}
    assert {f"{file}:{line}" for file, line in awaits()} - struck == set()


@pytest.mark.parametrize("way", WAYS)
def test_a_way_leads_through_all_that_it_names(way: str) -> None:
    result = go(WAYS[way])
    assert result.error == ""
    assert result.struck.total() == len(WAYS[way].faults)


def test_a_run_repeats_exactly(simulation: Simulation) -> None:
    first, second = (simulation("--scenario", "dedup", "--seed", "8").stdout for _ in range(2))
    assert first == second
    assert "dedup.0" in first


def test_a_failing_seed_says_how_to_play_it_again_and_can_be_made_smaller(simulation: Simulation) -> None:
    told = simulation("--mutant", "no-seek", "--runs", "500").stdout
    found = re.search(
        r"no-seek: caught by seed \d+, without .*?: (BrokenError: .*)\n *again: scripts/simulate (.*)", told
    )
    assert found is not None, told
    error, again = found[1], found[2].split()
    assert error in simulation(*again).stdout
    smaller = simulation(*again, "--shrink").stdout
    assert "BrokenError" in smaller
    assert len(re.findall(r"^#\d+ ", smaller, re.MULTILINE)) < len(
        re.findall(r"^#\d+ ", simulation(*again).stdout, re.MULTILINE)
    )


def test_a_failing_run_along_a_way_can_be_made_smaller_too(simulation: Simulation) -> None:
    run = ("--mutant", "no-seek", "--way", "copy-through-aborts", "--strike", "kill", "--at", "8")
    whole, smaller = simulation(*run).stdout, simulation(*run, "--shrink").stdout
    assert "BrokenError: not done" in whole
    assert "BrokenError: not done" in smaller
    assert 0 < len(re.findall(r"^#\d+ ", smaller, re.MULTILINE)) < len(re.findall(r"^#\d+ ", whole, re.MULTILINE))
    found = re.search(r"^again: scripts/simulate (.*--keep) '(.*)'$", smaller, re.MULTILINE)
    assert found is not None, smaller
    error = next(line for line in smaller.splitlines() if line.startswith("BrokenError"))
    assert error in simulation(*found[1].split(), found[2]).stdout


def _ended(faults: Sequence[Fault], error: str) -> Result:
    return Result("copy", 0, [*faults], Counter(), Counter(), set(), error, 0.0)


def test_a_run_is_made_smaller_only_while_it_fails_in_the_same_way() -> None:
    faults = [Fault(number, 0.0, "kill", "poll") for number in range(4)]

    def run(kept: Sequence[Fault]) -> Result:
        numbers = {fault.number for fault in kept}
        if numbers >= {1, 3}:
            return _ended(kept, f"BrokenError: stored: lost {[*numbers]}, doubled or never sent []")
        return _ended(kept, "BrokenError: stored: lost [], doubled or never sent [7]" if 1 in numbers else "")

    assert shrink(faults, run).faults == [faults[1], faults[3]]


def test_the_way_to_a_smaller_run_is_told_only_where_there_is_one() -> None:
    faults = [Fault(number, 0.0, "kill", "poll") for number in range(2)]
    report = Report("copy")
    report.take(_ended(faults, "BrokenError"), "scripts/simulate --way copy-nowhere")
    report.take(_ended(faults[:1], "BrokenError"), "scripts/simulate --way copy-nowhere")
    assert ["--shrink" in failure for failure in report.failures] == [True, False]
