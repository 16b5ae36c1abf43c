"""The sink into Postgres, against a real one: each row once, whatever is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from penstock.breaker import BreakerSettings
from penstock.dependency import Attempting, Dependency
from penstock.errors import PermanentError, ThrottledError, TransientError
from penstock.metrics import Metrics
from penstock.stream.handler import Flushed, RefusedError
from penstock.stream.port import TopicPartition
from services.sink.policy import FlushPolicy
from services.sink.postgres.database import Database
from services.sink.postgres.migrate import migrate
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import LAYOUT, Store
from tests.conftest import RunningStack
from tests.integration.sink.proxy import Proxy, proxy_to
from tests.unit.sink.feeding import (
    DAY_MS,
    HOUR_MS,
    P0,
    P1,
    P2,
    TOPIC_IDS,
    StoredRecord,
    events,
    intake,
    record,
    records,
    uids,
)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

Deaf = tuple[PostgresSink, list[StoredRecord]]

pytestmark = pytest.mark.integration

POLICY = FlushPolicy(max_rows=5000, max_bytes=10**9, max_age_s=0.2, max_idle_s=0.02, together=True)


class HandClock:
    """Stands still, unless it is moved by hand."""

    now_s = 1000.0

    def now_ms(self) -> int:
        return HOUR_MS

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
async def dsn(stack: RunningStack) -> AsyncIterator[str]:
    """A database of the test's own."""
    name = f"sink_{uuid4().hex}"
    admin = await asyncpg.connect(stack.postgres_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(stack.postgres_dsn)._replace(path=f"/{name}"))
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator["Connection"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    connection.terminate()


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    parts = urlsplit(dsn)
    async with proxy_to(parts.hostname or "", parts.port or 5432) as proxy:
        yield proxy


def through(proxy: Proxy, dsn: str) -> str:
    parts = urlsplit(dsn)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}"))


def sink_at(dsn: str, *, timeout_s: float = 10.0, attempting: Attempting = nullcontext) -> PostgresSink:
    store = Store(Database(dsn, statement_timeout_s=timeout_s, attempting=attempting), flush_timeout_s=timeout_s)
    return PostgresSink(intake(), store, POLICY, HandClock())


@pytest.fixture
async def sink(dsn: str) -> AsyncIterator[PostgresSink]:
    sink = sink_at(dsn)
    await sink.positions([P0, P1, P2], TOPIC_IDS)
    yield sink
    await sink.close()


async def stored_uids(database: "Connection") -> list[bytes]:
    return [row["uid"] for row in await database.fetch("SELECT uid FROM events")]


async def test_rows_and_offsets_are_stored_together(sink: PostgresSink, database: "Connection") -> None:
    sent = records(100) + records(50, P1)
    assert await sink.add(sent) == []
    assert await sink.flush({P0: 103, P1: 50}) == {P0: Flushed(103, ours=True), P1: Flushed(50, ours=True)}
    assert set(await stored_uids(database)) == uids(sent)
    offsets = await database.fetch("SELECT topic, topic_id, partition, next FROM offsets WHERE layout = $1", LAYOUT)
    assert {(row["topic"], row["topic_id"], row["partition"], row["next"]) for row in offsets} == {
        (P0.topic, TOPIC_IDS[P0.topic], number, offset) for number, offset in ((0, 103), (1, 50), (2, 0))
    }


async def test_a_row_has_every_field_of_its_event(sink: PostgresSink, database: "Connection") -> None:
    event = next(iter(events(1))) | {
        "location": {"latitude": 40.7, "longitude": -74.0, "name": "New York"},
        "language": {"code": "de", "confidence": 0.75},
        "measures": {"stars": 3.0},
        "entities": [{"text": "Octocat", "type": "person", "start": 1, "end": 8, "field": "text", "confidence": 0.5}],
        "sentiment": {
            "label": "positive",
            "score": 0.5,
            "probabilities": {"positive": 0.75},
            "emotions": {},
            "aspects": [],
            "sarcasm": None,
            "model": "test",
        },
    }
    await sink.add([record(event, 5, P1)])
    await sink.flush({P1: 6})
    row = await database.fetchrow("""
        SELECT *, measures->>'stars' AS stars, attributes->>'type' AS type, entities->0->>'text' AS entity,
            sentiment_detail->>'model' AS model, extract(epoch FROM ingested_at) * 1000 AS ingested_ms
        FROM events
    """)
    assert row is not None
    assert (row["id"], row["source"], row["kind"], row["text"]) == (
        event["id"],
        "github",
        event["kind"],
        event["text"],
    )
    assert (row["latitude"], row["longitude"], row["location_name"]) == (40.7, -74.0, "New York")
    assert (row["language"], row["language_confidence"], row["stars"]) == ("de", 0.75, "3.0")
    assert (row["sentiment"], row["sentiment_score"], row["model"], row["entity"]) == (
        "positive",
        0.5,
        "test",
        "Octocat",
    )
    assert (row["type"], row["place"], row["keywords"]) == (event["attributes"]["type"], None, None)
    assert row["ingested_ms"] == event["ingested_at"]
    assert (row["topic"], row["topic_partition"], row["topic_offset"]) == (P1.topic, 1, 5)
    assert row["day"] == date(2015, 1, 1)


async def test_a_new_owner_goes_on_where_the_database_stands(dsn: str, sink: PostgresSink) -> None:
    await sink.add(records(10))
    await sink.flush({P0: 12})
    successor = sink_at(dsn)
    assert await successor.positions([P0, P1], TOPIC_IDS) == {P0: 12, P1: 0}
    await successor.close()


async def test_a_topic_made_anew_starts_at_0_again(dsn: str, sink: PostgresSink) -> None:
    await sink.add(records(10))
    await sink.flush({P0: 10})
    successor = sink_at(dsn)
    assert await successor.positions([P0], {P0.topic: "YW5vdGhlci10b3BpYy1pZA"}) == {P0: 0}
    await successor.close()


async def test_of_two_writers_of_one_span_exactly_one_stores_it_and_the_other_is_told_where_to_go_on(
    dsn: str, sink: PostgresSink, database: "Connection"
) -> None:
    rival = sink_at(dsn)
    await rival.positions([P0, P1], TOPIC_IDS)
    sent = records(200) + records(20, P1)
    await asyncio.gather(sink.add(sent), rival.add(sent[:150]))
    ours, theirs = await asyncio.gather(sink.flush({P0: 200, P1: 20}), rival.flush({P0: 150}))
    stands_at = (await sink.positions([P0], TOPIC_IDS))[P0]
    assert (ours[P0], theirs[P0]) in [
        (Flushed(200, ours=True), Flushed(200, ours=False)),
        (Flushed(150, ours=False), Flushed(150, ours=True)),
    ]
    assert stands_at == ours[P0].next
    assert ours[P1] == Flushed(20, ours=True), "the other partitions of the flush are stored all the same"
    assert sorted(await stored_uids(database)) == sorted(uids(sent[:stands_at] + sent[200:]))
    await rival.close()


async def test_a_writer_that_was_overtaken_drops_its_rows_and_reads_on_from_the_offset_it_was_told(
    dsn: str, sink: PostgresSink, database: "Connection"
) -> None:
    rival = sink_at(dsn)
    await rival.positions([P0], TOPIC_IDS)
    sent = records(30)
    await sink.add(sent[:20])
    await rival.add(sent[:10])
    await rival.flush({P0: 10})
    assert (await sink.flush({P0: 20}))[P0] == Flushed(10, ours=False)
    await sink.add(sent[10:])
    assert (await sink.flush({P0: 30}))[P0] == Flushed(30, ours=True)
    assert sorted(await stored_uids(database)) == sorted(uids(sent))
    await rival.close()


@pytest.fixture
async def deaf(dsn: str, proxy: Proxy, database: "Connection") -> AsyncIterator[Deaf]:
    """A sink that holds the first 30 of 40 records, whose flush was committed, and who never heard of it."""
    sink = sink_at(through(proxy, dsn))
    await sink.positions([P0], TOPIC_IDS)
    sent = records(40)
    await sink.add(sent[:10])
    await sink.flush({P0: 10})
    await sink.add(sent[10:30])
    proxy.cut_answer = lambda piece: b"COMMIT;" in piece
    with pytest.raises(TransientError, match="is away or busy"):
        await sink.flush({P0: 30})
    proxy.cut_answer = lambda _piece: False
    assert proxy.cuts == 1
    assert len(await stored_uids(database)) == 30
    yield sink, sent
    await sink.close()


async def test_when_the_answer_to_our_commit_is_lost_the_retry_stores_nothing_twice(
    deaf: Deaf, database: "Connection"
) -> None:
    sink, sent = deaf
    assert (await sink.flush({P0: 30}))[P0] == Flushed(30, ours=True)
    await sink.add(sent[30:])
    assert (await sink.flush({P0: 40}))[P0] == Flushed(40, ours=True)
    assert sorted(await stored_uids(database)) == sorted(uids(sent))


async def test_when_more_was_read_before_the_retry_it_is_read_again_from_where_the_lost_commit_ended(
    deaf: Deaf, database: "Connection"
) -> None:
    sink, sent = deaf
    await sink.add(sent[30:])
    assert (await sink.flush({P0: 40}))[P0] == Flushed(30, ours=False)
    await sink.add(sent[30:])
    assert (await sink.flush({P0: 40}))[P0] == Flushed(40, ours=True)
    assert sorted(await stored_uids(database)) == sorted(uids(sent))


async def test_a_database_that_went_away_and_came_back_has_every_row_once(
    dsn: str, proxy: Proxy, database: "Connection"
) -> None:
    sink = sink_at(through(proxy, dsn))
    await sink.positions([P0], TOPIC_IDS)
    sent = records(20)
    await sink.add(sent[:10])
    await proxy.close()
    with pytest.raises(TransientError):
        await sink.flush({P0: 10})
    await sink.add(sent[10:])
    with pytest.raises(TransientError):
        await sink.flush({P0: 20})
    await proxy.open()
    assert (await sink.flush({P0: 20}))[P0] == Flushed(20, ours=True)
    assert sorted(await stored_uids(database)) == sorted(uids(sent))
    await sink.close()


async def test_a_database_that_stays_away_is_left_alone_until_one_attempt_finds_it(
    dsn: str, proxy: Proxy, database: "Connection"
) -> None:
    clock = HandClock()
    postgres = Dependency("sink-postgres", "postgres", BreakerSettings(), clock, Metrics())
    sink = sink_at(through(proxy, dsn), attempting=postgres.attempt)
    await sink.positions([P0], TOPIC_IDS)
    await sink.add(records(10))
    await proxy.close()
    for _ in range(3):
        with pytest.raises(TransientError, match=r"Postgres at .* is away"):
            await sink.flush({P0: 10})
    assert "is away" in str(postgres.trouble)
    await proxy.open()
    with pytest.raises(ThrottledError, match="postgres is left alone") as waits:
        await sink.flush({P0: 10})
    assert await stored_uids(database) == [], "nobody has asked"
    clock.now_s += waits.value.retry_after_s
    assert (await sink.flush({P0: 10}))[P0] == Flushed(10, ours=True)
    assert postgres.trouble is None
    await sink.close()


async def test_a_database_that_is_not_there_at_the_start_is_waited_for(dsn: str, proxy: Proxy) -> None:
    sink = sink_at(through(proxy, dsn))
    await proxy.close()
    with pytest.raises(TransientError):
        await sink.positions([P0], TOPIC_IDS)
    await proxy.open()
    assert await sink.positions([P0], TOPIC_IDS) == {P0: 0}
    await sink.close()


async def test_a_database_that_does_not_answer_is_given_up_in_time(
    dsn: str, sink: PostgresSink, database: "Connection"
) -> None:
    hasty = sink_at(dsn, timeout_s=0.5)
    await hasty.positions([P0], TOPIC_IDS)
    sent = records(10)
    await hasty.add(sent)
    async with database.transaction():
        await database.execute("SELECT FROM offsets FOR UPDATE")
        with pytest.raises(TransientError):
            await hasty.flush({P0: 10})
    assert (await hasty.flush({P0: 10}))[P0] == Flushed(10, ours=True)
    await hasty.close()


async def test_a_stuck_predecessor_loses_its_locks(dsn: str, database: "Connection") -> None:
    sink = sink_at(dsn, timeout_s=1.0)
    await sink.positions([P0], TOPIC_IDS)
    stuck = await asyncpg.connect(dsn, server_settings={"idle_in_transaction_session_timeout": "300"})
    await stuck.execute("BEGIN")
    await stuck.execute("SELECT FROM offsets FOR UPDATE")
    await sink.add(records(10))
    assert (await sink.flush({P0: 10}))[P0] == Flushed(10, ours=True)
    stuck.terminate()
    await sink.close()


async def test_a_batch_across_midnight_makes_both_days(sink: PostgresSink, database: "Connection") -> None:
    midnight = HOUR_MS + DAY_MS
    sent = [record(event, index, ingested_at_ms=midnight - 2 + index) for index, event in enumerate(events(4))]
    await sink.add(sent)
    await sink.flush({P0: 4})
    assert [
        tuple(row) for row in await database.fetch("SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1")
    ] == [("events_20150101", 2), ("events_20150102", 2)]


async def test_several_instances_make_the_schema_and_a_day_at_once(dsn: str, database: "Connection") -> None:
    await asyncio.gather(*(migrate(dsn, timeout_s=30) for _ in range(4)))
    sinks = [sink_at(dsn) for _ in range(3)]
    sent = [records(10, partition) for partition in (P0, P1, P2)]
    for one, partition, batch in zip(sinks, (P0, P1, P2), sent, strict=True):
        await one.positions([partition], TOPIC_IDS)
        await one.add(batch)
    await asyncio.gather(*(one.flush({partition: 10}) for one, partition in zip(sinks, (P0, P1, P2), strict=True)))
    assert len(await stored_uids(database)) == 30
    for one in sinks:
        await one.close()


async def test_a_day_that_retention_dropped_is_made_again(sink: PostgresSink, database: "Connection") -> None:
    sent = records(20)
    await sink.add(sent[:10])
    await sink.flush({P0: 10})
    await database.execute("DROP TABLE events_20150101")
    await sink.add(sent[10:])
    assert (await sink.flush({P0: 20}))[P0] == Flushed(20, ours=True)
    assert sorted(await stored_uids(database)) == sorted(uids(sent[10:]))


async def test_a_uid_that_is_there_already_is_left_alone_and_blocks_nothing(
    sink: PostgresSink, database: "Connection"
) -> None:
    """A dead letter that was sent back twice."""
    sent = records(10)
    await sink.add(sent)
    await sink.flush({P0: 10})
    event = next(iter(events(1)))
    again = StoredRecord(P1, 0, sent[0].content, event["ingested_at"], sent[0].headers_list)
    await sink.add([again, *records(5, P1, first=1)])
    assert (await sink.flush({P1: 6}))[P1] == Flushed(6, ours=True)
    assert len(await stored_uids(database)) == 15


POISON: Sequence[tuple[str, dict[str, Any]]] = (
    ("bad-timestamp", {"occurred_at": 10**17}),
    ("not-finite", {"measures": {"price": float("nan")}}),
)


@pytest.mark.parametrize(("reason", "fault"), POISON)
async def test_what_postgres_cannot_hold_is_a_dead_letter_before_it_is_sent(
    sink: PostgresSink, database: "Connection", reason: str, fault: dict[str, Any]
) -> None:
    sent = [record(event | fault if index == 3 else event, index) for index, event in enumerate(events(10))]
    dead = await sink.add(sent)
    assert [(letter.record.offset(), letter.error.reason) for letter in dead] == [(3, reason)]
    assert (await sink.flush({P0: 10}))[P0] == Flushed(10, ours=True)
    assert len(await stored_uids(database)) == 9


async def test_a_row_that_only_postgres_finds_bad_is_singled_out_and_the_rest_is_stored(
    sink: PostgresSink, database: "Connection"
) -> None:
    long = {"source": "".join(chr(0x4E00 + (index * 7919) % 20000) for index in range(4000))}  # no index takes it
    nul = {"text": "before\0after"}
    hidden_nul = {"attributes": {"note": "before\0after"}}
    faults: dict[int, dict[str, Any]] = {4: long, 17: nul, 18: hidden_nul}
    sent = [record(event | faults.get(index, {}), index) for index, event in enumerate(events(40))]
    sent += records(10, P1)
    assert await sink.add(sent) == []
    with pytest.raises(RefusedError) as refused:
        await sink.flush({P0: 40, P1: 10})
    assert [(dead.record.offset(), dead.error.reason) for dead in refused.value.dead] == [
        (4, "refused-by-postgres"),
        (17, "refused-by-postgres"),
        (18, "refused-by-postgres"),
    ]
    assert await stored_uids(database) == []
    assert await sink.flush({P0: 40, P1: 10}) == {P0: Flushed(40, ours=True), P1: Flushed(10, ours=True)}
    assert len(await stored_uids(database)) == 47


async def test_undecodable_values_are_dead_letters_and_their_offsets_are_passed(
    sink: PostgresSink, database: "Connection"
) -> None:
    bad = [StoredRecord(P0, index, value, HOUR_MS) for index, value in enumerate((None, b"", b"{}", b"\0\0\0\0\7"))]
    dead = await sink.add([*bad, *records(2, first=4)])
    assert [letter.error.reason for letter in dead] == ["tombstone", "empty-value", "bad-magic", "truncated"]
    assert (await sink.flush({P0: 6}))[P0] == Flushed(6, ours=True)
    assert len(await stored_uids(database)) == 2


async def test_a_record_without_uid_is_stored_under_its_coordinate(sink: PostgresSink, database: "Connection") -> None:
    stranger = records(1)[0]
    await sink.add([StoredRecord(P0, 0, stranger.content, HOUR_MS)])
    await sink.flush({P0: 1})
    row = await database.fetchrow("SELECT uid, source FROM events")
    assert row is not None
    assert (row["uid"].decode(), row["source"]) == (f"{TOPIC_IDS[P0.topic]}/0/0", "unknown")


async def test_records_that_are_stored_or_held_already_are_passed_over(
    sink: PostgresSink, database: "Connection"
) -> None:
    """By their offsets: under other uids, so that the key cannot be what keeps them out."""
    sent = records(20)
    again = [
        StoredRecord(one.at, one.position, one.content, one.ingested_at_ms, [("uid", uuid4().bytes), ("source", b"x")])
        for one in sent
    ]
    await sink.add(sent[:10])
    await sink.add(again[5:10] + sent[10:12])
    await sink.flush({P0: 12})
    await sink.add(again[:12] + sent[12:])
    await sink.flush({P0: 20})
    assert sorted(await stored_uids(database)) == sorted(uids(sent))


async def test_what_is_dropped_is_not_stored(dsn: str, sink: PostgresSink, database: "Connection") -> None:
    await sink.add(records(10) + records(10, P1))
    sink.drop([P0])
    assert set(sink.due(2000.0)) == {P1}
    await sink.flush({P1: 10})
    assert len(await stored_uids(database)) == 10


async def test_a_wrong_password_stops_with_an_explanation(dsn: str) -> None:
    parts = urlsplit(dsn)
    sink = sink_at(urlunsplit(parts._replace(path="/no_such_database")))
    with pytest.raises(PermanentError, match=r"no_such_database.*PENSTOCK_POSTGRES_DSN"):
        await sink.positions([TopicPartition("events.scored", 0)], TOPIC_IDS)
    await sink.close()
