"""Which letters can go back, and what goes."""

from dataclasses import replace

import pytest

from penstock.dlq.way_back import TIME_TO_READ_MS, refusal, sent_back, ways_back
from penstock.ledger.identity import Place
from penstock.ledger.letters import DeadLetter
from penstock.schema.catalogue import load_catalogue
from penstock.stream.port import Outgoing

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000
WAYS = ways_back(load_catalogue())
LETTER = DeadLetter(
    stage="enrich",
    dlq_topic="dlq.enrich",
    dlq_partition=0,
    dlq_offset=12,
    topic="events.unique",
    origin=Place("an-id", 3, 99),
    timestamp_ms=NOW_MS - DAY_MS,
    key=b"k" * 16,
    value=b"bytes",
    value_size=None,
    headers=(("uid", b"u" * 16), ("source", b"github"), ("own", None)),
    category="data",
    reason="model-failed",
    detail="",
    field=None,
    attempts=1,
    uid=b"u" * 16,
    source="github",
    failed_at_ms=NOW_MS - DAY_MS,
)


def refused(letter: DeadLetter, max_attempts: int = 5) -> str | None:
    found = refusal(letter, WAYS.get(letter.stage), max_attempts, NOW_MS)
    return None if found is None else found.reason


def test_every_stage_but_dedup_has_a_way_back_and_ingests_leads_to_the_inbox() -> None:
    assert {stage: way.topic for stage, way in WAYS.items()} == {
        "ingest": "events.inbox",
        "enrich": "retry.enrich",
        "sentiment": "retry.sentiment",
        "sink-postgres": "retry.sink-postgres",
        "sink-s3": "retry.sink-s3",
    }


def test_the_original_goes_back_as_it_came_with_its_ingest_time_and_a_count() -> None:
    assert refused(LETTER) is None
    headers = [*LETTER.headers, ("retry-count", b"1"), ("ingest-time", b"%d" % LETTER.timestamp_ms)]
    assert sent_back(LETTER, WAYS["enrich"], NOW_MS) == Outgoing("retry.enrich", b"k" * 16, b"bytes", headers, NOW_MS)


def test_what_an_earlier_retry_added_is_replaced() -> None:
    again = replace(
        LETTER, headers=(("retry-count", b"1"), ("ingest-time", b"1"), *LETTER.headers), attempts=2, timestamp_ms=1
    )
    headers = sent_back(again, WAYS["enrich"], NOW_MS).headers
    assert headers == [*LETTER.headers, ("retry-count", b"2"), ("ingest-time", b"1")]


def test_a_letter_of_ingest_goes_back_to_the_inbox_where_it_gets_a_new_ingest_time() -> None:
    letter = replace(LETTER, stage="ingest", uid=None, source=None, headers=(), timestamp_ms=1)
    assert refused(letter) is None
    assert sent_back(letter, WAYS["ingest"], NOW_MS) == Outgoing(
        "events.inbox", b"k" * 16, b"bytes", [("retry-count", b"1")], NOW_MS
    )


def test_a_letter_that_was_tried_as_often_as_allowed_stays() -> None:
    assert refused(replace(LETTER, attempts=4)) is None
    assert refused(replace(LETTER, attempts=5)) == "too-many-attempts"
    assert refused(LETTER, max_attempts=1) == "too-many-attempts"


@pytest.mark.parametrize(
    ("reason", "letter"),
    [
        ("purge-only", replace(LETTER, stage="dedup")),
        ("cut", replace(LETTER, value_size=5_000_000)),
        ("no-identity", replace(LETTER, uid=None)),
        ("no-identity", replace(LETTER, uid=b"short")),
        ("no-identity", replace(LETTER, source=None)),
        ("no-identity", replace(LETTER, source="")),
        ("too-large", replace(LETTER, value=b"x" * WAYS["enrich"].max_bytes)),
        ("too-large", replace(LETTER, headers=(("own", b"x" * WAYS["enrich"].max_bytes),))),
    ],
)
def test_what_cannot_go_back_is_refused_by_name(reason: str, letter: DeadLetter) -> None:
    assert refused(letter) == reason


def test_a_letter_that_the_next_topic_would_drop_before_it_is_read_is_refused_but_a_sink_has_no_next_topic() -> None:
    oldest_ms = NOW_MS - 7 * DAY_MS + TIME_TO_READ_MS
    assert refused(replace(LETTER, timestamp_ms=oldest_ms)) is None
    assert refused(replace(LETTER, timestamp_ms=oldest_ms - 1)) == "too-old"
    assert refused(replace(LETTER, stage="sink-s3", timestamp_ms=oldest_ms - 1)) is None
