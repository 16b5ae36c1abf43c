"""A replay sends what the files hold, counts it rightly, and says where it cannot go on."""

import asyncio
import gzip
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest

from penstock.errors import PenstockError, PermanentError, TransientError
from penstock.stream.port import Outgoing
from services.ingest.replay.duplicates import Duplicator
from services.ingest.replay.files import find_files
from services.ingest.replay.run import BATCH, Recording, Replay
from services.ingest.token_bucket import TokenBucket
from tests.unit.ingest.building import NOW_MS, HandClock, MemoryPublisher, acceptor

SAMPLES = Path(__file__).resolve().parents[4] / "samples"


def replay(
    source: str,
    publisher: MemoryPublisher,
    files: list[str] | None = None,
    duplicate: float = 0.0,
    bucket: TokenBucket | None = None,
    clock: HandClock | None = None,
    rounds: int = 1,
) -> Replay:
    found = find_files(files or [str(SAMPLES / source)])
    recording = Recording(source, found, rounds)
    return Replay(recording, Duplicator(duplicate), acceptor(), publisher, bucket, clock or HandClock())


def first_lines(count: int) -> list[bytes]:
    with gzip.open(SAMPLES / "github/2015-01-01-0.json.gz") as lines:
        return list(islice(lines, count))


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


async def test_every_event_is_sent_once_and_every_line_accounted_for(publisher: MemoryPublisher) -> None:
    running = replay("exchange", publisher)
    assert await running.run(asyncio.Event())
    tally = running.tally
    assert (tally.sent, tally.unique, tally.planted) == (428, 428, 0)
    assert tally.lines == sum(tally.skipped.values()) + tally.sent
    assert tally.skipped["coinbase:l2update"] == 9_719
    assert running.read_bytes == running.total_bytes
    assert max(publisher.batches) <= BATCH
    assert all(event.ingested_at == NOW_MS for event in publisher.events)


async def test_planted_duplicates_are_the_same_events_with_other_identities(publisher: MemoryPublisher) -> None:
    running = replay("exchange", publisher, duplicate=0.15)
    await running.run(asyncio.Event())
    keys = Counter(record.key for record in publisher.records)
    uids = {dict(record.headers)["uid"] for record in publisher.records}
    assert running.tally.planted == 64
    assert len(publisher.records) == len(uids) == running.tally.sent == 428 + 64
    assert len(keys) == running.tally.unique == 428
    assert set(keys.values()) == {1, 2}


async def test_the_oracle_counts_what_the_fingerprint_calls_different(publisher: MemoryPublisher) -> None:
    """Two rules without a line of code in common come to the same number, on a file of every source."""
    for source in ("github", "weather", "wikipedia"):
        publisher.records.clear()
        running = replay(source, publisher, duplicate=0.02)
        await running.run(asyncio.Event())
        assert len({record.key for record in publisher.records}) == running.tally.unique < running.tally.sent


async def test_each_round_is_made_of_new_events_and_counted_as_such(publisher: MemoryPublisher) -> None:
    running = replay("exchange", publisher, duplicate=0.15, rounds=3)
    assert await running.run(asyncio.Event())
    keys = Counter(record.key for record in publisher.records)
    assert (running.tally.sent, running.tally.unique) == (len(publisher.records), 3 * 428) == (3 * 428 + 192, len(keys))
    assert set(keys.values()) == {1, 2}
    marks = Counter(event.id.partition("~")[2] for event in publisher.events)
    assert sorted(marks) == ["", "2", "3"]
    assert (running.share, running.tally.lines) == (1.0, 3 * 16_407)


async def test_a_replay_without_an_end_goes_on_until_it_is_stopped_and_is_complete_then(
    publisher: MemoryPublisher,
) -> None:
    running, stop = replay("exchange", publisher, duplicate=0.15, rounds=0), asyncio.Event()
    publish = publisher.publish

    async def until_enough(batch: Sequence[Outgoing]) -> list[PenstockError | None]:
        if len(publisher.records) > 2_000:
            stop.set()
        return await publish(batch)

    publisher.publish = until_enough  # type: ignore[method-assign]  # somebody's Ctrl-C, in the fifth round
    assert await running.run(stop)
    keys = Counter(record.key for record in publisher.records)
    assert (running.tally.sent, running.tally.unique) == (len(publisher.records), len(keys))
    assert running.tally.sent > 2_000
    assert running.share is None


async def test_rounds_of_nothing_come_to_an_end(tmp_path: Path, publisher: MemoryPublisher) -> None:
    (tmp_path / "hour.json").write_bytes(b"\n\n")
    assert await replay("github", publisher, [str(tmp_path / "hour.json")], rounds=0).run(asyncio.Event())


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"", 1), (b"no json\n", 3), (b'{"id":"1","type":"PushEvent"}\n', 3), (b"\n\xff\xff\n", 4)],
)
async def test_a_bad_line_ends_it_with_file_and_line(
    tmp_path: Path, publisher: MemoryPublisher, content: bytes, line: int
) -> None:
    good = first_lines(2)
    path = tmp_path / "hour.json"
    path.write_bytes(b"".join(good) + content)
    running = replay("github", publisher, [str(path)])
    if not content:
        assert await running.run(asyncio.Event())
        return
    with pytest.raises(PermanentError, match=rf"hour\.json:{line}: this is no recording of github"):
        await running.run(asyncio.Event())


async def test_an_event_that_may_not_in_is_skipped_with_its_reason(tmp_path: Path, publisher: MemoryPublisher) -> None:
    good = first_lines(2)
    (tmp_path / "hour.json").write_bytes(good[0] + good[1].replace(b"2015-01-01T", b"9999-01-01T"))
    running = replay("github", publisher, [str(tmp_path / "hour.json")])
    assert await running.run(asyncio.Event())
    assert running.tally.sent == 1
    assert running.tally.skipped == {"invalid:out-of-range": 1}


async def test_what_the_broker_does_not_take_is_not_counted_and_ends_it(publisher: MemoryPublisher) -> None:
    publisher.errors = [None] * 10 + [TransientError("the broker did not acknowledge in time")]
    running = replay("exchange", publisher)
    with pytest.raises(TransientError):
        await running.run(asyncio.Event())
    assert running.tally.sent == len(publisher.records)
    assert running.tally.unique == running.tally.sent


async def test_told_to_stop_it_stops_after_its_batch(publisher: MemoryPublisher) -> None:
    stop = asyncio.Event()
    stop.set()
    running = replay("exchange", publisher)
    assert not await running.run(stop)
    assert not publisher.records


async def test_a_rate_is_kept(publisher: MemoryPublisher, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.s += seconds

    monkeypatch.setattr("services.ingest.replay.run.asyncio.sleep", sleep)
    started_s = clock.s
    await replay("exchange", publisher, bucket=TokenBucket(100, 10), clock=clock).run(asyncio.Event())
    assert len(publisher.records) == 428
    assert clock.s - started_s == pytest.approx((428 - 10) / 100, abs=0.2)
    assert max(publisher.batches) <= 10


async def test_a_parser_and_an_oracle_that_disagree_are_a_defect(
    publisher: MemoryPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = replay("exchange", publisher)
    monkeypatch.setattr("services.ingest.replay.oracle.Oracle.keys", lambda _self, _line: [b"one", b"two"])
    with pytest.raises(PermanentError, match="parser and oracle see different events"):
        await running.run(asyncio.Event())
