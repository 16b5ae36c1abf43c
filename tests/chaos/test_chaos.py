"""The whole system on three brokers, every fault once; and a judge that catches what it is there for."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.chaos import plan
from tests.chaos.campaign import Campaign, Settings
from tests.chaos.plan import Fault

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

SEED = 1


def test_nothing_is_lost_doubled_or_out_of_order_while_everything_is_killed_once(tmp_path: Path) -> None:
    report = asyncio.run(Campaign(tmp_path, Settings(SEED)).run())
    sys.stdout.write(report.markdown("tests/chaos/test_chaos.py"))
    assert report.problems == []
    planned = plan.once(SEED, [f"kafka-{number}" for number in (1, 2, 3)])
    assert len(report.struck) == sum(map(len, planned.values()))
    assert report.events > 0


def test_builds_without_a_mechanism_are_caught_each_at_its_own_hop(tmp_path: Path) -> None:
    """Dedup that restores nothing, and enrich that reads what is rolled back; dedup dies in mid-transaction again and
    again, so that there is something to restore and something rolled back."""
    kills = [Fault(plan.MID_TRANSACTION, "dedup", 2.0) for _ in range(4)]
    settings = Settings(
        SEED,
        nodes=1,
        commands={
            "dedup": ("tests.chaos.mutants", "never-restores", "services.dedup"),
            "enrich": ("tests.chaos.mutants", "reads-uncommitted", "services.enrich"),
        },
        lanes={"dedup": kills},
        ledger_timeout_s=10.0,
    )
    report = asyncio.run(Campaign(tmp_path, settings).run())
    found = {finding.place: finding for finding in report.findings}
    assert found["raw -> unique"].strange > 0, "duplicates of what was forgotten"
    assert found["unique -> enriched"].strange + found["unique -> enriched"].doubled > 0, "what was rolled back"
    told = [(problem["equation"], problem["difference"]) for problem in report.ledger["problems"]]
    assert any(name == "unique = unique by the manifest" and more > 0 for name, more in told), "what was forgotten"
    assert any(name == "unique = enriched + dead.enrich" and more < 0 for name, more in told), "what was rolled back"
