"""What a demo sends, and how fast."""

from pathlib import Path

import pytest

from penstock.cli.demo import EVENTS, RATE_PER_S, rates
from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Skipped

SAMPLES = Path(__file__).parents[3] / "samples"


def held(source: str) -> int:
    """How many events the samples hold."""
    count = 0
    for path in find_files([str(SAMPLES / source)]):
        parser = PARSERS[source](path)
        found = (parser.parse(line) for line in Lines(path) if line)
        count += sum(len(events) for events in found if not isinstance(events, Skipped))
    return count


@pytest.mark.parametrize("source", EVENTS)
def test_all_sources_last_equally_long_at_the_rate_of_the_whole(source: str) -> None:
    share = rates(EVENTS, RATE_PER_S)
    assert sum(share.values()) == pytest.approx(200.0)
    assert held(source) / share[source] == pytest.approx(sum(EVENTS.values()) / 200.0, rel=0.05)
    assert held(source) == EVENTS[source]
