"""Every service is killed at each of its failpoints while events flow, and nothing is lost or doubled."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.inbox import Outsider
from tests.e2e.pipeline import ALL, Pipeline, pipeline
from tests.e2e.recording import SAMPLES, lines_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LOOP = ("before-handle", "before-produce", "after-produce", "before-commit", "after-commit")
POINTS = {
    "ingest": LOOP,
    "dedup": LOOP,
    "enrich": LOOP,
    "sentiment": LOOP,
    "sink-postgres": ("before-handle", "before-commit", "after-commit"),
    "sink-s3": ("before-handle", "before-manifest", "after-manifest"),
}
WITHIN_S = 600
REPLAYED = 2_000


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def test_it_balances_after_every_service_was_killed_at_each_of_its_failpoints(system: Pipeline, tmp_path: Path) -> None:
    """Each is started again to die at the next point, with what the one before left behind: open transactions, files
    without a manifest, acks that nobody heard. Events come by replay, and by the inbox with bad ones among them."""
    (file,) = (SAMPLES / "wikipedia").glob("*.gz")
    part = tmp_path / "part.json"
    part.write_bytes(b"".join(lines_of(file)[:REPLAYED]))
    left = {name: [f"{name}.{point}" for point in points] for name, points in POINTS.items()}
    system.start(*POINTS, failpoints={name: points.pop(0) for name, points in left.items()})
    system.replay(part, "wikipedia")
    outsider = Outsider(
        system.environment["PENSTOCK_BOOTSTRAP_SERVERS"],
        system.environment["PENSTOCK_SCHEMA_REGISTRY_URL"],
        "weather",
        SAMPLES / "weather" / "weather.csv.gz",
    )
    dying = set(POINTS)
    deadline_s = time.monotonic() + WITHIN_S
    while dying:
        outsider.feed(2)
        for name in system.ended() & dying:
            system.killed(name)
            system.launch(name, next(iter(left[name]), ""))
            if not left[name]:
                dying.discard(name)
            del left[name][:1]
        assert time.monotonic() < deadline_s, f"not killed at: { {name: left[name] for name in dying} }"
        time.sleep(0.25)
    counted = system.balances()
    assert counted["weather"]["raw"] == outsider.events + outsider.repeated
    assert counted["weather"]["duplicate"] == outsider.repeated
    for source in counted.values():
        assert source["unique"] == source["postgres"] == source["parquet"]
    listed = json.loads(system.penstock("dlq", "list", "--stage", "ingest", "-n", "100000", "--json").stdout)
    assert len(listed) == outsider.refused
    assert {letter["reason"] for letter in listed} == {"bad-magic"}
    shown = system.penstock("dlq", "show", listed[0]["letter"]).stdout
    assert "6e 6f 20 65 76 65 6e 74" in shown
    assert "as text     no event" in shown
    told = system.penstock("ledger").stdout
    assert "balanced: nothing lost, nothing doubled" in told
    system.stop()


def test_every_failpoint_of_the_services_is_killed_at() -> None:
    """So that a new failpoint is not forgotten here."""
    told = {f"{name}.{point}" for name, points in POINTS.items() for point in points}
    assert told >= {
        line.split('hit("')[1].split('"')[0]
        for path in (SAMPLES.parent / "services").rglob("*.py")
        for line in path.read_text().splitlines()
        if "failpoints.hit(" in line
    }
    assert set(ALL) < set(POINTS)
