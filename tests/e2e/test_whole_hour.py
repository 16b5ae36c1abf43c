"""A whole hour of GitHub's events with 15 % duplicates balances, also when services are killed in mid-transaction."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pipeline import ALL, Pipeline, pipeline
from tests.e2e.recording import SAMPLES, SHARED
from tests.unfinished import open_transactions, rows_rolled_back

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

HOUR = "github/2015-01-01-0.json.gz"
EVENTS = 7_702


@pytest.fixture
def hour() -> Path:
    """As it was recorded; where that is not at hand the samples' copy of it, with the same events."""
    recorded = SHARED / HOUR.replace("github", "github_gharchive", 1)
    return recorded if recorded.exists() else SAMPLES / HOUR


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def test_a_whole_hour_balances_though_dedup_and_the_sink_are_killed_in_mid_transaction(
    system: Pipeline, hour: Path
) -> None:
    system.start(*ALL, failpoints={"dedup": "dedup.before-produce:3", "sink-postgres": "sink-postgres.before-commit"})
    manifest = system.replay(hour, "github")
    assert manifest["lines"] == EVENTS
    assert manifest["duplicates"] > 0.1 * EVENTS
    system.killed("dedup")
    system.start("dedup", failpoints={"dedup": "dedup.after-produce:2"})
    system.killed("dedup")
    assert open_transactions(system.environment["PENSTOCK_BOOTSTRAP_SERVERS"], ["events.unique"])
    system.start("dedup")
    system.killed("sink-postgres")
    assert asyncio.run(rows_rolled_back(system.environment["PENSTOCK_POSTGRES_DSN"])) > 0
    system.start("sink-postgres", failpoints={"sink-postgres": "sink-postgres.after-commit"})
    system.killed("sink-postgres")
    system.start("sink-postgres")
    counted = system.balances()["github"]
    assert counted["raw"] == manifest["sent"]
    assert counted["postgres"] == counted["parquet"] == counted["unique"] == manifest["unique"]
    assert counted["duplicate"] == manifest["duplicates"]
    system.stop()
