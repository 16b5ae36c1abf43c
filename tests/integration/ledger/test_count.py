"""The ledger counts what is there, on real Kafka, Postgres and files, and misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest
import pytest_asyncio

from penstock.clock import SystemClock
from penstock.errors import SystemFaultError, TransientError
from penstock.lake.store import open_store
from penstock.ledger.accounts import ALL_STAGES
from penstock.ledger.audit import Command
from penstock.ledger.count import Verdict, until_balanced
from penstock.ledger.expectation import Expectation
from penstock.ledger.report import as_json
from tests.conftest import RunningStack
from tests.integration.ledger.world import World, small_world, uid_of

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000


@pytest_asyncio.fixture
async def world(stack: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    async with small_world(stack, tmp_path) as made:
        yield made


async def everything_right(world: World) -> None:
    """Ten of GitHub are stored, one is a duplicate, one late, one died at each stage; two of Wikipedia are stored."""
    ten = [uid_of(n) for n in range(10)]
    duplicate, late, in_dedup, in_enrich, in_sentiment, in_postgres, in_s3 = (uid_of(n) for n in range(100, 107))
    world.write("raw", *ten, duplicate, late, in_dedup, in_enrich, in_sentiment, in_postgres, in_s3)
    world.write("duplicate", duplicate)
    world.write("late", late)
    world.bury("dedup", in_dedup, 13)
    world.write("unique", *ten, in_enrich, in_sentiment, in_postgres, in_s3)
    world.bury("enrich", in_enrich, 11)
    world.write("enriched", *ten, in_sentiment, in_postgres, in_s3)
    world.bury("sentiment", in_sentiment, 12)
    world.write("scored", *ten, in_postgres, in_s3)
    world.bury("sink-postgres", in_postgres, 13)
    world.bury("sink-s3", in_s3, 14)
    await world.insert(*ten, in_s3)
    await world.store(*ten[:4])
    await world.store(*ten[4:], in_postgres)
    both = [uid_of(200), uid_of(201)]
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, *both, source="wikipedia")
    await world.insert(*both, source="wikipedia")
    await world.store(*both, source="wikipedia")


async def test_a_world_in_which_nothing_went_wrong_balances(world: World) -> None:
    await everything_right(world)
    verdict = await world.verdict()
    assert verdict.problems == []
    assert as_json(verdict)["sources"] == {
        "github": {
            "raw": 17,
            "unique": 14,
            "duplicate": 1,
            "late": 1,
            "dead": {"ingest": 0, "dedup": 1, "enrich": 1, "sentiment": 1, "sink-postgres": 1, "sink-s3": 1},
            "purged": dict.fromkeys(ALL_STAGES, 0),
            "postgres": 11,
            "parquet": 11,
        },
        "wikipedia": {
            "raw": 2,
            "unique": 2,
            "duplicate": 0,
            "late": 0,
            "dead": dict.fromkeys(ALL_STAGES, 0),
            "purged": dict.fromkeys(ALL_STAGES, 0),
            "postgres": 2,
            "parquet": 2,
        },
    }


async def test_a_dead_letter_written_twice_counts_once(world: World) -> None:
    await everything_right(world)
    uid = uid_of(300)
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid)
    await world.store(uid)
    world.bury("sink-postgres", uid, 99, times=2)
    assert (await world.verdict()).problems == []


async def test_two_dead_letters_of_two_records_count_twice(world: World) -> None:
    uid = uid_of(300)
    world.judging()
    world.write("raw", uid)
    world.bury("dedup", uid, 1)
    world.bury("dedup", uid, 2)
    (problem,) = (await world.verdict()).problems
    assert (problem.source, problem.difference) == ("github", -1)


async def test_a_record_without_uid_or_source_is_known_by_its_place(world: World) -> None:
    world.judging()
    world.write("raw", None, b"short", source="github")  # at offsets 2 and 3: behind a record that was rolled back
    world.write("raw", uid_of(1), source=None)  # at 7
    world.bury("dedup", None, 2)
    world.bury("dedup", None, 3)
    world.bury("dedup", uid_of(1), 7, source=None)
    verdict = await world.verdict()
    assert verdict.problems == []
    assert verdict.books["unknown"]["raw"].count == 3
    world.bury("dedup", None, 4)
    assert [problem.source for problem in (await world.verdict()).problems] == ["unknown"]


@pytest.mark.parametrize("where", ["postgres", "parquet"])
async def test_one_lost_and_one_doubled_in_a_store_do_not_cancel_out(world: World, where: str) -> None:
    world.judging(where)
    three = [uid_of(n) for n in range(3)]
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, *three)
    if where == "parquet":
        await world.store(three[0], three[1])
        await world.store(three[1])
    else:
        await world.insert(three[0], three[1])
        await world.insert(three[1], at_ms=world.now_ms - DAY_MS)
    problems = (await world.verdict()).problems
    assert {problem.source for problem in problems} == {"github"}
    assert problems[0].difference == 0
    assert "the counts agree, the records do not" in problems[0].detail


async def test_a_row_under_the_wrong_source_is_seen_on_both(world: World) -> None:
    world.judging("postgres")
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid_of(1))
    await world.insert(uid_of(1), source="wikipedia")
    hops = [p for p in (await world.verdict()).problems if p.equation.startswith("scored")]
    assert [(problem.source, problem.difference) for problem in hops] == [("github", 1), ("wikipedia", -1)]


async def test_a_file_that_no_manifest_names_does_not_count(world: World) -> None:
    world.judging("parquet")
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid_of(1))
    await world.store(uid_of(1), named=False)
    assert not (await world.verdict()).balanced
    await world.store(uid_of(1))
    assert (await world.verdict()).problems == []


async def test_a_file_that_is_gone_is_named(world: World) -> None:
    world.judging("parquet")
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid_of(1))
    path = await world.store(uid_of(1))
    await obstore.delete_async(open_store(world.places.object_store_url), path)
    problems = (await world.verdict()).problems
    assert any(path in problem.detail and "not there" in problem.detail for problem in problems)


async def test_a_dedup_that_lets_everything_through_fails_by_the_manifest(world: World) -> None:
    sent = [uid_of(n) for n in range(5)]  # the last two repeat the first two events
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, *sent)
    await world.insert(*sent)
    await world.store(*sent)
    assert (await world.verdict()).problems == []
    problems = (await world.verdict(Expectation("github.json", "github", sent=5, unique=3))).problems
    assert [problem.difference for problem in problems] == [2, -2]


async def test_a_dedup_that_lets_nothing_through_fails_by_the_manifest(world: World) -> None:
    sent = [uid_of(n) for n in range(5)]
    world.write("raw", *sent)
    world.write("duplicate", *sent)
    assert (await world.verdict()).problems == []
    problems = (await world.verdict(Expectation("github.json", "github", sent=5, unique=3))).problems
    assert [problem.difference for problem in problems] == [-3, 3]


async def test_what_is_younger_than_the_moment_of_asking_is_not_judged(world: World) -> None:
    await everything_right(world)
    young_ms = world.now_ms + 600
    world.write("raw", uid_of(300), at_ms=young_ms)
    await world.insert(uid_of(301), at_ms=young_ms)
    await world.store(uid_of(302), at_ms=young_ms)
    assert (await world.verdict(as_of_ms=young_ms - 1)).problems == []
    wrong = {problem.equation.partition(" ")[0] for problem in (await world.verdict(as_of_ms=young_ms)).problems}
    assert wrong == {"raw", "scored", "unique"}


async def test_what_is_older_than_asked_for_is_not_judged(world: World) -> None:
    await everything_right(world)
    old_ms = world.now_ms - DAY_MS
    world.write("raw", uid_of(300), at_ms=old_ms)
    await world.insert(uid_of(301), at_ms=old_ms)
    await world.store(uid_of(302), at_ms=old_ms)
    ledger = await world.open(since_ms=old_ms + 1)
    try:
        assert (await ledger.count(lambda *_: None)).problems == []
    finally:
        await ledger.close()


async def test_what_one_topic_no_longer_holds_is_judged_in_none(world: World) -> None:
    """Raw's first records are deleted; all other places still hold what became of them."""
    world.judging("postgres", "parquet")
    old, new = uid_of(1), uid_of(2)
    for uid, at_ms in ((old, world.now_ms - DAY_MS), (new, world.now_ms)):
        for account in ("raw", "unique", "enriched", "scored"):
            world.write(account, uid, at_ms=at_ms - (10 * 60_000 if account == "raw" and uid == new else 0))
        await world.insert(uid, at_ms=at_ms)
        await world.store(uid, at_ms=at_ms)
    await world.delete("raw", 4)
    verdict = await world.verdict()
    assert verdict.cut.from_ms is not None
    assert world.now_ms - DAY_MS < verdict.cut.from_ms < world.now_ms


async def test_it_balances_before_during_and_after_a_purge_and_without_the_bytes(world: World) -> None:
    """Two died; one letter is thrown away and deleted, the other stays. Nothing is cut from what is judged."""
    world.judging()
    gone, stays = uid_of(1), uid_of(2)
    for account in ("raw", "unique"):
        world.write(account, gone, stays)
    world.bury("enrich", gone, 2)
    world.bury("enrich", stays, 3)
    assert (await world.verdict()).problems == []
    world.settle(Command.PURGE, "enrich", gone, 2)
    assert (await world.verdict()).problems == []
    await world.delete("dlq.enrich", 1)
    verdict = await world.verdict()
    assert verdict.problems == []
    found = as_json(verdict)["sources"]["github"]
    assert (found["dead"]["enrich"], found["purged"]["enrich"]) == (2, 1)
    assert verdict.cut.from_ms is not None
    assert verdict.cut.from_ms < world.now_ms - 6 * DAY_MS, "a purge does not shorten the time that is judged"


async def test_letters_that_were_deleted_without_a_word_in_the_audit_are_missed(world: World) -> None:
    world.judging()
    for account in ("raw", "unique"):
        world.write(account, uid_of(1), uid_of(2))
    for offset, uid in ((2, uid_of(1)), (3, uid_of(2))):
        world.bury("enrich", uid, offset)
    await world.delete("dlq.enrich", 1)
    (problem,) = (await world.verdict()).problems
    assert (problem.stage, problem.difference) == ("enrich", 1)


async def test_it_balances_when_a_letter_that_was_sent_back_dies_again_and_when_it_goes_through(world: World) -> None:
    world.judging()
    again, through = uid_of(1), uid_of(2)
    for account in ("raw", "unique"):
        world.write(account, again, through)
    for offset, uid in ((2, again), (3, through)):
        world.bury("enrich", uid, offset)
        world.send_back("enrich", uid, at_ms=world.now_ms)
        world.settle(Command.RETRY, "enrich", uid, offset)
    assert [problem.difference for problem in (await world.verdict()).problems] == [2], "they are on their way"
    world.bury("enrich", again, 1000)
    world.write("enriched", through)
    world.write("scored", through)
    verdict = await world.verdict()
    assert verdict.problems == []
    assert as_json(verdict)["sources"]["github"]["dead"]["enrich"] == 1


async def test_a_letter_that_was_sent_back_is_judged_by_the_ingest_time_of_its_original(world: World) -> None:
    """Its events lie before the time that is judged, and the retry after it."""
    world.judging()
    old_ms = world.now_ms - DAY_MS
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid_of(1), at_ms=old_ms)
    world.bury("enrich", uid_of(1), 2, at_ms=old_ms)
    world.send_back("enrich", uid_of(1), at_ms=old_ms)
    for since_ms in (None, old_ms + 1):
        ledger = await world.open(since_ms=since_ms)
        try:
            assert (await ledger.count(lambda *_: None)).problems == []
        finally:
            await ledger.close()


async def test_what_ingest_refused_and_was_sent_back_or_thrown_away_is_listed_no_more(world: World) -> None:
    world.judging()
    for offset in range(3):
        world.bury("ingest", None, offset)
    world.settle(Command.RETRY, "ingest", None, 0)
    world.settle(Command.PURGE, "ingest", None, 1)
    verdict = await world.verdict()
    assert verdict.problems == []
    found = as_json(verdict)["sources"]["unknown"]
    assert (found["dead"]["ingest"], found["purged"]["ingest"]) == (2, 1)


async def test_it_waits_for_what_is_still_on_its_way_and_reads_only_what_is_new(world: World) -> None:
    world.judging("postgres")
    for account in ("raw", "unique", "enriched", "scored"):
        world.write(account, uid_of(1))
    read: list[int] = []
    unbalanced = asyncio.Event()
    waiting = asyncio.create_task(
        until_balanced(
            world.open,
            60,
            SystemClock(),
            lambda what, done, total: read.append(done) if what == world.places.topics["raw"] else None,
            lambda news: None if isinstance(news, Verdict) and news.balanced else unbalanced.set(),
        )
    )
    await asyncio.wait_for(unbalanced.wait(), 60)
    await world.insert(uid_of(1))
    assert (await waiting).balanced
    assert sum(read) == 1


async def test_the_last_verdict_is_given_when_the_time_is_up(world: World) -> None:
    world.judging("postgres")
    world.write("raw", uid_of(1))
    verdict = await until_balanced(world.open, 0.5, SystemClock(), lambda *_: None, lambda _: None)
    assert not verdict.balanced
    assert verdict.problems[0].source == "github"


async def test_a_store_that_is_away_is_waited_for_and_then_named(world: World) -> None:
    world.judging("postgres")
    world.places = replace(world.places, postgres_dsn="postgresql://nobody@127.0.0.1:1/nothing")
    news: list[object] = []
    with pytest.raises(TransientError, match="counting the rows of table events in Postgres"):
        await until_balanced(world.open, 2, SystemClock(), lambda *_: None, news.append)
    assert news
    assert all(isinstance(told, TransientError) for told in news)


async def test_kafka_that_does_not_answer_at_all_is_not_waited_for(world: World) -> None:
    world.places = replace(world.places, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(TransientError, match="is Kafka running"):
        await until_balanced(world.open, 3600, SystemClock(), lambda *_: None, lambda _: None)


async def test_a_topic_that_is_missing_is_named_with_the_way_out(world: World) -> None:
    world.places = replace(world.places, topics={**world.places.topics, "raw": "no-such-topic"})
    with pytest.raises(SystemFaultError, match=r"no-such-topic.*`penstock topics apply`"):
        await world.open()
