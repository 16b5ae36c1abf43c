"""Every service is killed at each of its failpoints while events flow, and nothing is lost or doubled."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import pytest

from penstock.schema.catalogue import load_catalogue
from tests.e2e.inbox import Outsider
from tests.e2e.pipeline import ALL, Pipeline, pipeline
from tests.e2e.recording import SAMPLES, lines_of
from tests.unfinished import OPEN_AT, open_transactions, rows_rolled_back

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

LOOP = ("before-handle", "before-produce", "after-produce", "before-commit", "after-commit")
POINTS = {
    "ingest": LOOP,
    "dedup": LOOP,
    "enrich": LOOP,
    "sentiment": LOOP,
    "sink-postgres": ("before-handle", "after-dead-letters", "before-commit", "after-commit"),
    "sink-s3": ("before-handle", "before-manifest", "after-manifest"),
}
WITHIN_S = 300
REPLAYED = 2_000


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def test_it_balances_after_every_service_was_killed_at_each_of_its_failpoints(system: Pipeline, tmp_path: Path) -> None:
    """In each round every service dies at its next point, and goes on with what that left behind: open transactions,
    files without a manifest, acks that nobody heard. Events come by replay, and by the inbox with bad ones among them.
    """
    (file,) = (SAMPLES / "wikipedia").glob("*.gz")
    part = tmp_path / "part.json"
    part.write_bytes(b"".join(lines_of(file)[:REPLAYED]))
    outsider = Outsider(
        system.environment["PENSTOCK_BOOTSTRAP_SERVERS"],
        system.environment["PENSTOCK_SCHEMA_REGISTRY_URL"],
        "weather",
        SAMPLES / "weather" / "weather.csv.gz",
    )
    for number, points in enumerate(zip_longest(*POINTS.values())):
        _kill_each(system, outsider, {name: point for name, point in zip(POINTS, points, strict=True) if point})
        if number == 0:
            system.replay(part, "wikipedia")
        counted = system.balances()
        assert counted["weather"]["raw"] == outsider.events + outsider.repeated
        assert counted["weather"]["duplicate"] == outsider.repeated
        assert counted["bypass"]["dead"]["sink-postgres"] == outsider.bypassed, "once each, however often it died"
        for name, source in counted.items():
            assert source["unique"] == source["parquet"] == source["postgres"] + source["dead"]["sink-postgres"], name
    listed = json.loads(system.penstock("dlq", "list", "--stage", "ingest", "-n", "100000", "--json").stdout)
    assert len(listed) == outsider.refused
    assert {letter["reason"] for letter in listed} == {"bad-magic"}
    shown = system.penstock("dlq", "show", listed[0]["letter"]).stdout
    assert "6e 6f 20 65 76 65 6e 74" in shown
    assert "as text     no event" in shown
    told = system.penstock("ledger").stdout
    assert "balanced: nothing lost, nothing doubled" in told
    system.stop()


def _kill_each(system: Pipeline, outsider: Outsider, points: Mapping[str, str]) -> None:
    """Has these services die at these points while events flow, and starts each again."""
    if running := points.keys() & system.processes.keys():
        system.stop(*running)
    for name, point in points.items():
        system.launch(name, f"{name}.{point}")
    dying = set(points)
    deadline_s = time.monotonic() + WITHIN_S
    while dying:
        outsider.feed(2)
        outsider.bypass_ingest()
        for name in system.ended() & dying:
            system.killed(name)
            _left_something_open(system, name, points[name])
            system.launch(name, "")
            dying.discard(name)
        assert time.monotonic() < deadline_s, f"not killed at: { {name: points[name] for name in dying} }"
        time.sleep(0.25)
    system.await_ready(*points)


def _left_something_open(system: Pipeline, name: str, point: str) -> None:
    if name == "sink-postgres" and point == "before-commit":
        assert asyncio.run(rows_rolled_back(system.environment["PENSTOCK_POSTGRES_DSN"])) > 0
    if POINTS[name] is LOOP and point in OPEN_AT:
        written = [topic.name for topic in load_catalogue().topics if name in topic.written_by]
        assert open_transactions(system.environment["PENSTOCK_BOOTSTRAP_SERVERS"], written), f"{name} at {point}"


def test_every_failpoint_is_killed_at() -> None:
    """So that a new failpoint is not forgotten here."""
    assert _hit_in("penstock/stream/loop.py") == {f"{{self._settings.stage}}.{point}" for point in LOOP}
    sinks = {f"{{self._settings.stage}}.{point}" for name in ("sink-postgres", "sink-s3") for point in POINTS[name]}
    assert sinks >= _hit_in("penstock/stream/sink_loop.py")
    told = {f"{name}.{point}" for name, points in POINTS.items() for point in points}
    assert told >= _hit_in("services")
    assert set(ALL) < set(POINTS)


def _hit_in(place: str) -> set[str]:
    root = SAMPLES.parent / place
    found: set[str] = set()
    for path in [root] if root.is_file() else root.rglob("*.py"):
        found |= set(re.findall(r'failpoints\.hit\(f?"([^"]+)"\)', path.read_text()))
    return found
