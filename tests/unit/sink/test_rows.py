"""What of a record is stored, and under which identity."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.stream.port import TopicPartition
from penstock.testing import builders
from services.sink.bisect import find_refused
from services.sink.postgres.columns import COLUMNS, cells_of, days_of
from services.sink.rows import row_of
from tests.unit.sink.feeding import HOUR_MS, P0, TOPIC_IDS, StoredRecord, events, record

UID = bytes(range(16))


def headed(*headers: tuple[str, bytes | None], at: TopicPartition = P0) -> StoredRecord:
    return StoredRecord(at, 9, b"", HOUR_MS + 5, list(headers))


def event() -> dict[str, object]:
    return next(iter(events(1)))


def test_a_row_is_known_by_the_uid_and_source_of_its_headers() -> None:
    row = row_of(headed(("uid", UID), ("source", b"github")), event(), "id")
    assert (row.uid, row.source, row.ingested_at_ms) == (UID, "github", HOUR_MS + 5)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("uid", UID)],
        [("source", b"github")],
        [("uid", UID), ("source", b"")],
        [("uid", UID[1:]), ("source", b"github")],
        [("uid", None), ("source", b"github")],
    ],
)
def test_without_uid_or_source_a_row_is_known_by_its_coordinate(headers: list[tuple[str, bytes | None]]) -> None:
    row = row_of(headed(*headers), event(), "id")
    assert (row.uid, row.source) == (b"id/0/9", "unknown")


def test_a_row_whose_headers_cannot_be_read_is_refused() -> None:
    garbled = builders.record(topic=P0.topic, headers=[("uid", UID), ("\udcff", b"x")])
    with pytest.raises(DataError, match="bad-headers"):
        row_of(garbled, event(), "id")


def test_a_retried_row_keeps_the_ingest_time_it_came_with() -> None:
    at, topic_id = TopicPartition("retry.sink-postgres", 0), TOPIC_IDS["retry.sink-postgres"]
    retried = headed(("uid", UID), ("source", b"github"), ("ingest-time", b"1420070400001"), at=at)
    assert row_of(retried, event(), topic_id).ingested_at_ms == HOUR_MS + 1
    assert row_of(headed(("uid", UID), at=at), event(), topic_id).ingested_at_ms == HOUR_MS + 5, "none is stated"


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999), st.integers(0, 253_402_300_799_999))
def test_every_time_of_the_years_1_to_9999_is_handed_over_exactly(occurred_ms: int, ingested_ms: int) -> None:
    sent = record(event() | {"occurred_at": occurred_ms}, 0, ingested_at_ms=ingested_ms)
    cells = cells_of(row_of(sent, event() | {"occurred_at": occurred_ms}, "id"))
    found = dict(zip(COLUMNS, cells, strict=True))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for name, value_ms in (("occurred_at", occurred_ms), ("ingested_at", ingested_ms)):
        stated = found[name]
        assert isinstance(stated, tuple)
        assert datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=stated[0]) == epoch + timedelta(
            milliseconds=value_ms
        )
    assert days_of([cells]) == {(epoch + timedelta(milliseconds=ingested_ms)).date()}


@pytest.mark.parametrize("occurred_ms", [-62_135_596_800_001, 253_402_300_800_000, 2**63 - 1, -(2**63)])
def test_a_time_outside_them_is_refused_by_name(occurred_ms: int) -> None:
    with pytest.raises(DataError) as refused:
        cells_of(row_of(record(event(), 0), event() | {"occurred_at": occurred_ms}, "id"))
    assert (refused.value.reason, refused.value.field) == ("bad-timestamp", "occurred_at")


def test_measures_may_be_called_null_but_not_be_infinite() -> None:
    def measured(**measures: float) -> object:
        cells = cells_of(row_of(record(event(), 0), event() | {"measures": measures}, "id"))
        return cells[COLUMNS.index("measures")]

    assert measured(null=1.0) == b'\x01{"null":1.0}'
    with pytest.raises(DataError, match="inf cannot be stored"):
        measured(null=1.0, price=float("inf"))


def test_json_columns_hold_json() -> None:
    cells = dict(zip(COLUMNS, cells_of(row_of(record(event(), 0), event(), "id")), strict=True))
    attributes = cells["attributes"]
    assert isinstance(attributes, bytes)
    assert orjson.loads(attributes[1:]) == event()["attributes"]
    assert cells["entities"] is None


def test_a_day_is_that_of_utc() -> None:
    late = record(event(), 0, ingested_at_ms=HOUR_MS - 1)
    assert days_of([cells_of(row_of(late, event(), "id"))]) == {date(2014, 12, 31)}


@given(st.lists(st.booleans(), max_size=200))
async def test_every_refused_row_is_found_and_no_other(bad: list[bool]) -> None:
    tries = 0

    async def probe(rows: Sequence[bool]) -> Exception | None:
        nonlocal tries
        tries += 1
        return ValueError("bad") if any(rows) else None

    found = await find_refused(bad, probe)
    assert [at for at, _ in found] == [at for at, one in enumerate(bad) if one]
    assert tries <= 1 + 2 * sum(bad) * (len(bad).bit_length() + 1)
