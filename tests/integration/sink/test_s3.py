"""The sink into an object store, in a directory and at a real S3 endpoint: each row once in what manifests name."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import obstore
import pyarrow.parquet as pq
import pytest
from obstore.store import ObjectStore

from penstock.errors import PermanentError, TransientError
from penstock.lake.chain import manifests
from penstock.lake.layout import FILES
from penstock.lake.manifest import Manifest
from penstock.lake.store import open_store
from penstock.lake.vacuum import COMMITTABLE_S, ORPHAN_AGE_S, remove, survey
from penstock.stream.handler import Flushed
from services.sink.policy import FlushPolicy
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer
from tests.integration.sink.proxy import Proxy, proxy_to
from tests.integration.sink.s3_server import make_bucket, s3_server
from tests.unit.sink.feeding import (
    HOUR_MS,
    P0,
    P1,
    P2,
    SCORED,
    TOPIC_IDS,
    StoredRecord,
    events,
    intake,
    record,
    records,
    uids,
)

pytestmark = pytest.mark.integration

POLICY = FlushPolicy(max_rows=5000, max_bytes=10**9, max_age_s=60, max_idle_s=5, together=False)
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HandClock:
    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now_ms(self) -> int:
        return HOUR_MS + int(self.elapsed_s * 1000)

    def monotonic_s(self) -> float:
        return 1000.0 + self.elapsed_s


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    with s3_server() as port:
        yield port


def s3_store(port: int, bucket: str) -> ObjectStore:
    return open_store(
        f"s3://{bucket}/lake",
        {
            "endpoint": f"http://127.0.0.1:{port}",
            "access_key_id": "test",
            "secret_access_key": "test",
            "region": "us-east-1",
        },
    )


@pytest.fixture
def bucket(s3_port: int) -> str:
    name = f"sink-{uuid4().hex}"
    make_bucket(s3_port, name)
    return name


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return open_store((tmp_path / "lake").as_uri())
    port: int = request.getfixturevalue("s3_port")
    return s3_store(port, request.getfixturevalue("bucket"))


@asynccontextmanager
async def proxied(port: int, bucket: str) -> AsyncIterator[tuple[Proxy, ObjectStore]]:
    async with proxy_to("127.0.0.1", port) as proxy:
        yield proxy, s3_store(proxy.port, bucket)


def sink_at(store: ObjectStore, name: str = "", clock: HandClock | None = None) -> S3Sink:
    clock = clock or HandClock()
    writer = Writer(store, name or uuid4().hex, clock, uploads=4)
    return S3Sink(intake(), store, writer, POLICY, clock, timeout_s=30)


async def all_manifests(store: ObjectStore) -> list[Manifest]:
    return sorted([one async for one in manifests(store)], key=lambda one: (one.chain.partition, one.start))


async def named_uids(store: ObjectStore) -> list[bytes]:
    """What a reader finds: the uids of the files that manifests name."""
    found: list[bytes] = []
    for manifest in await all_manifests(store):
        for file in manifest.files:
            content = bytes(await (await obstore.get_async(store, file.path)).bytes_async())
            assert len(content) == file.bytes
            table = pq.read_table(io.BytesIO(content))
            assert table.num_rows == file.rows
            found += [uid for uid in table["uid"].to_pylist() if uid is not None]
    return found


async def all_files(store: ObjectStore) -> list[str]:
    return [entry["path"] async for page in obstore.list(store, FILES) for entry in page]


async def test_what_is_flushed_is_in_files_that_a_manifest_names(store: ObjectStore) -> None:
    sink = sink_at(store, "abc")
    assert await sink.positions([P0, P1, P2], TOPIC_IDS) == {P0: 0, P1: 0, P2: 0}
    sent = records(100) + records(50, P1)
    assert await sink.add(sent) == []
    assert await sink.flush({P0: 103, P1: 50}) == {P0: Flushed(103, ours=True), P1: Flushed(50, ours=True)}
    assert sorted(await named_uids(store)) == sorted(uids(sent))
    first, second = await all_manifests(store)
    assert (first.start, first.end, first.writer, first.rows) == (0, 103, "abc", 100)
    assert second.chain.partition == 1
    assert [file.path for file in first.files] == [
        f"events/source=github/date=2015-01-01/hour=00/0-0-103-{TOPIC_IDS[SCORED]}-abc.parquet"
    ]


async def test_the_next_manifest_starts_where_the_last_one_ends_and_so_does_a_new_owner(store: ObjectStore) -> None:
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    sent = records(60)
    for end in (20, 40, 60):
        await sink.add(sent[end - 20 : end])
        await sink.flush({P0: end})
    assert [(one.start, one.end) for one in await all_manifests(store)] == [(0, 20), (20, 40), (40, 60)]
    assert await sink_at(store).positions([P0, P1], TOPIC_IDS) == {P0: 60, P1: 0}
    assert await sink_at(store).positions([P0], {SCORED: "YW5vdGhlci10b3BpYy1pZA"}) == {P0: 0}


async def test_files_are_parted_by_source_day_and_hour_of_ingest_time(store: ObjectStore) -> None:
    hour_ms = 3_600_000
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    sent = []
    for index, event in enumerate(events(6)):
        source = "odd/one=ü%" if index == 5 else "github"
        ingested_at = HOUR_MS + 23 * hour_ms + hour_ms - 2 + index if index < 4 else HOUR_MS
        sent.append(record(event | {"source": source}, index, ingested_at_ms=ingested_at))
    await sink.add(sent)
    await sink.flush({P0: 6})
    (manifest,) = await all_manifests(store)
    assert {(file.source, file.date, file.hour): file.rows for file in manifest.files} == {
        ("github", "2015-01-01", 23): 2,
        ("github", "2015-01-02", 0): 2,
        ("github", "2015-01-01", 0): 1,
        ("odd/one=ü%", "2015-01-01", 0): 1,
    }
    assert sorted(await named_uids(store)) == sorted(uids(sent))


async def test_of_two_writers_of_one_span_exactly_one_is_named_and_the_other_is_told_where_to_go_on(
    store: ObjectStore,
) -> None:
    one, other = sink_at(store), sink_at(store)
    sent = records(200)
    for sink, count in ((one, 200), (other, 150)):
        await sink.positions([P0], TOPIC_IDS)
        await sink.add(sent[:count])
    first, second = await asyncio.gather(one.flush({P0: 200}), other.flush({P0: 150}))
    assert (first[P0], second[P0]) in [
        (Flushed(200, ours=True), Flushed(200, ours=False)),
        (Flushed(150, ours=False), Flushed(150, ours=True)),
    ]
    assert sorted(await named_uids(store)) == sorted(uids(sent[: first[P0].next]))
    assert len(await all_files(store)) == 1, "the loser takes its files away"


async def test_many_writers_race_over_many_spans_and_every_row_is_named_once(store: ObjectStore) -> None:
    sent = records(300)

    async def write(step: int) -> None:
        sink = sink_at(store)
        at = (await sink.positions([P0], TOPIC_IDS))[P0]
        while at < 300:
            end = min(at + step, 300)
            await sink.add(sent[at:end])
            at = (await sink.flush({P0: end}))[P0].next

    await asyncio.gather(*(write(step) for step in (17, 23, 31, 50)))
    assert sorted(await named_uids(store)) == sorted(uids(sent))
    chain = await all_manifests(store)
    assert [one.start for one in chain] == [0, *(one.end for one in chain[:-1])]


async def test_a_crash_between_files_and_manifest_leaves_orphans_that_nobody_counts_and_vacuum_removes(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def cut(point: str) -> None:
        if point == "sink-s3.before-manifest":
            raise PowerCutError

    sent = records(20)
    crashed = sink_at(store)
    await crashed.positions([P0], TOPIC_IDS)
    await crashed.add(sent)
    with monkeypatch.context() as patch:
        patch.setattr("penstock.failpoints.hit", cut)
        with pytest.raises(PowerCutError):
            await crashed.flush({P0: 20})
    assert len(await all_files(store)) == 1
    assert await named_uids(store) == []

    successor = sink_at(store)
    assert await successor.positions([P0], TOPIC_IDS) == {P0: 0}
    await successor.add(sent)
    await successor.flush({P0: 20})
    assert sorted(await named_uids(store)) == sorted(uids(sent))

    late_ms = int(time.time() * 1000 + ORPHAN_AGE_S * 1000 + 60_000)
    left = (await survey(store, late_ms)).orphans
    assert len(left) == 1
    await remove(store, left)
    assert sorted(await named_uids(store)) == sorted(uids(sent))


async def test_a_manifest_of_ours_with_another_end_is_taken_for_what_it_says(store: ObjectStore) -> None:
    """An attempt that seemed to fail was stored after all, and meanwhile more was read."""
    sent = records(30)
    first = sink_at(store, "abc")
    await first.positions([P0], TOPIC_IDS)
    again = sink_at(store, "abc")
    await again.positions([P0], TOPIC_IDS)
    await first.add(sent[:20])
    await first.flush({P0: 20})
    await again.add(sent)
    assert (await again.flush({P0: 30}))[P0] == Flushed(20, ours=False)
    await again.add(sent[20:])
    assert (await again.flush({P0: 30}))[P0] == Flushed(30, ours=True)
    assert sorted(await named_uids(store)) == sorted(uids(sent))


@pytest.mark.parametrize("answer", [SERVER_ERROR, b""], ids=["a 500", "a cut connection"])
async def test_when_the_answer_to_our_manifest_is_lost_once_the_store_s_client_repeats_it_and_we_know_it_for_ours(
    s3_port: int, bucket: str, answer: bytes
) -> None:
    async with proxied(s3_port, bucket) as (proxy, store):
        sink = sink_at(store)
        await sink.positions([P0], TOPIC_IDS)
        sent = records(20)
        await sink.add(sent)
        proxy.answer_instead = answer
        proxy.cut_answer = lambda piece: piece.startswith(b"PUT ") and b"/manifests/" in piece and proxy.cuts == 0
        assert (await sink.flush({P0: 20}))[P0] == Flushed(20, ours=True)
        assert proxy.cuts == 1
        assert sorted(await named_uids(store)) == sorted(uids(sent))
        assert len(await all_files(store)) == 1


@pytest.mark.parametrize("answer", [SERVER_ERROR, b""], ids=["500s", "cut connections"])
async def test_when_no_answer_comes_through_the_next_flush_finds_the_manifest_and_knows_it_for_ours(
    s3_port: int, bucket: str, answer: bytes
) -> None:
    async with proxied(s3_port, bucket) as (proxy, store):
        sink = sink_at(store)
        await sink.positions([P0, P1], TOPIC_IDS)
        sent = records(30)
        await sink.add(sent[:20] + records(5, P1))
        proxy.answer_instead = answer
        proxy.cut_answer = lambda piece: b"/manifests/" in piece.partition(b"\r\n")[0] and b"/0/0000" in piece
        with pytest.raises(TransientError):
            await sink.flush({P0: 20, P1: 5})
        assert proxy.cuts > 1
        proxy.cut_answer = lambda _piece: False
        await sink.add(sent[20:])
        flushed = await sink.flush({P0: 30, P1: 5})
        assert flushed == {P0: Flushed(20, ours=False), P1: Flushed(5, ours=True)}
        await sink.add(sent[20:])
        assert (await sink.flush({P0: 30}))[P0] == Flushed(30, ours=True)
        assert sorted(await named_uids(store)) == sorted(uids(sent + records(5, P1)))


async def test_a_partition_that_was_overtaken_stays_so_until_a_flush_can_say_it(s3_port: int, bucket: str) -> None:
    """While another partition fails there is no answer to give; nothing of what is read meanwhile may go in."""
    async with proxied(s3_port, bucket) as (proxy, store):
        sink, rival = sink_at(store), sink_at(store)
        for one in (sink, rival):
            await one.positions([P0, P1], TOPIC_IDS)
        sent = records(40)
        await rival.add(sent[:10])
        await rival.flush({P0: 10})
        await sink.add(sent[:20] + records(5, P1))
        proxy.cut_answer = lambda piece: b"/manifests/" in piece.partition(b"\r\n")[0] and b"/1/0000" in piece
        with pytest.raises(TransientError):
            await sink.flush({P0: 20, P1: 5})
        proxy.cut_answer = lambda _piece: False
        await sink.add(sent[20:30])
        assert await sink.flush({P0: 30, P1: 5}) == {P0: Flushed(10, ours=False), P1: Flushed(5, ours=True)}
        await sink.add(sent[10:])
        await sink.flush({P0: 40})
        assert sorted(await named_uids(store)) == sorted(uids(sent + records(5, P1)))


async def test_a_store_that_went_away_and_came_back_has_every_row_once(s3_port: int, bucket: str) -> None:
    async with proxied(s3_port, bucket) as (proxy, store):
        sink = sink_at(store)
        await sink.positions([P0], TOPIC_IDS)
        sent = records(20)
        await sink.add(sent[:10])
        await proxy.close()
        with pytest.raises(TransientError):
            await sink.flush({P0: 10})
        await sink.add(sent[10:])
        await proxy.open()
        assert (await sink.flush({P0: 20}))[P0] == Flushed(20, ours=True)
        assert sorted(await named_uids(store)) == sorted(uids(sent))


async def test_files_that_became_old_before_their_manifest_are_written_again(store: ObjectStore) -> None:
    class Sleeper(HandClock):
        asleep_s = COMMITTABLE_S + 1

        def monotonic_s(self) -> float:
            self.elapsed_s += self.asleep_s
            return super().monotonic_s()

    clock = Sleeper()
    sink = sink_at(store, clock=clock)
    await sink.positions([P0], TOPIC_IDS)
    sent = records(10)
    await sink.add(sent)
    with pytest.raises(TransientError, match="written again"):
        await sink.flush({P0: 10})
    assert await all_manifests(store) == []
    clock.asleep_s = 1.0
    await sink.flush({P0: 10})
    assert sorted(await named_uids(store)) == sorted(uids(sent))


async def test_dead_letters_move_the_offset_on_though_they_leave_no_file(store: ObjectStore) -> None:
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    dead = await sink.add([StoredRecord(P0, 0, None, HOUR_MS), StoredRecord(P0, 1, b"", HOUR_MS)])
    assert [letter.error.reason for letter in dead] == ["tombstone", "empty-value"]
    assert sink.due(1004.9) == set()
    assert sink.due(1005.0) == {P0}
    await sink.flush({P0: 2})
    (manifest,) = await all_manifests(store)
    assert (manifest.start, manifest.end, manifest.files) == (0, 2, ())


async def test_what_is_in_the_lake_already_is_passed_over(store: ObjectStore) -> None:
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    sent = records(20)
    await sink.add(sent[:10])
    await sink.flush({P0: 10})
    await sink.add(sent)
    await sink.flush({P0: 20})
    assert sorted(await named_uids(store)) == sorted(uids(sent))


async def test_a_damaged_manifest_stops_the_sink_with_an_explanation(store: ObjectStore) -> None:
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    await sink.add(records(10))
    await sink.flush({P0: 10})
    (manifest,) = await all_manifests(store)
    await obstore.put_async(store, manifest.path, b'{"format": 1')
    with pytest.raises(PermanentError, match="is not a manifest"):
        await sink_at(store).positions([P0], TOPIC_IDS)


async def test_vacuum_takes_old_files_without_a_manifest_and_nothing_else(store: ObjectStore) -> None:
    sink = sink_at(store)
    await sink.positions([P0], TOPIC_IDS)
    sent = records(20)
    await sink.add(sent)
    await sink.flush({P0: 20})
    orphan = f"events/source=github/date=2015-01-01/hour=00/0-20-40-{TOPIC_IDS[SCORED]}-dead.parquet"
    stranger = "events/source=github/notes.txt"
    await obstore.put_async(store, orphan, b"PAR1")
    await obstore.put_async(store, stranger, b"mine")
    written_ms = int((await obstore.head_async(store, orphan))["last_modified"].timestamp() * 1000)

    young = await survey(store, written_ms + int(ORPHAN_AGE_S * 1000) - 1000)
    assert (young.orphans, young.strangers) == ((), (stranger,))
    found = await survey(store, written_ms + int(ORPHAN_AGE_S * 1000) + 5000)
    assert [one.path for one in found.orphans] == [orphan]
    assert (found.named_files, found.orphan_bytes) == (1, 4)
    await remove(store, found.orphans)
    await remove(store, found.orphans)
    assert sorted(await all_files(store)) == sorted([stranger, (await all_manifests(store))[0].files[0].path])
    assert Counter(await named_uids(store)) == Counter(uids(sent))
