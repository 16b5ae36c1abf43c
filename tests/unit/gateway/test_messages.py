"""What clients may say, and how an event looks to them."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from services.gateway.cursor import Cursor, encode
from services.gateway.filters import EVERYTHING, Filter
from services.gateway.messages import Subscribe, event_frame, facets, parse_message, public_event, rfc3339

RECORD = {
    "id": "github:2489651045",
    "source": "github",
    "kind": "activity",
    "occurred_at": 1420070400123,
    "ingested_at": 1420070401000,
    "title": "apache/kafka",
    "text": None,
    "author": "octocat",
    "language": {"code": "en", "confidence": 0.9},
    "sentiment": {"label": "neutral", "score": 0.0},
    "measures": {"size": 1.5},
}


def test_a_subscribe_has_a_filter_and_a_cursor_or_neither() -> None:
    assert parse_message('{"type": "subscribe"}') == Subscribe(EVERYTHING, None)
    token = encode(Cursor("t", (1, 2)))
    full = orjson.dumps({"type": "subscribe", "filter": {"source": "github"}, "cursor": token, "id": "a"})
    assert parse_message(full) == Subscribe(Filter(source=frozenset({"github"})), Cursor("t", (1, 2)), "a")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "bad-message"),
        ("{", "bad-message"),
        ("NaN", "bad-message"),
        (b"\xff\xfe", "bad-message"),
        ("[]", "bad-message"),
        ("null", "bad-message"),
        ("{}", "bad-message"),
        ('{"type": "publish"}', "bad-message"),
        ('{"type": ["subscribe"]}', "bad-message"),
        ('{"type": "subscribe", "filters": {}}', "bad-message"),
        ('{"type": "subscribe", "id": 7}', "bad-message"),
        ('{"type": "subscribe", "id": "' + "x" * 65 + '"}', "bad-message"),
        ('{"type": "subscribe", "filter": {"id": "x"}}', "bad-filter"),
        ('{"type": "subscribe", "cursor": 5}', "bad-cursor"),
        ("[" * 5000, "bad-message"),
    ],
)
def test_a_message_that_is_none_is_a_data_error(data: str | bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_message(data)
    assert caught.value.reason == reason


@given(st.one_of(st.binary(), st.text()))
def test_no_message_whatever_is_in_it_raises_anything_else(data: bytes | str) -> None:
    try:
        parse_message(data)
    except DataError:
        return


def test_an_event_has_its_uid_in_hex_and_its_times_in_utc() -> None:
    event = public_event(RECORD, bytes(range(16)))
    assert event["uid"] == "000102030405060708090a0b0c0d0e0f"
    assert event["occurred_at"] == "2015-01-01T00:00:00.123Z"
    assert event["ingested_at"] == "2015-01-01T00:00:01.000Z"
    assert event["measures"] == {"size": 1.5}
    assert public_event(RECORD, None)["uid"] is None


def test_an_event_frame_tells_where_the_event_lies() -> None:
    frame = orjson.loads(event_frame({"id": "a"}, 3, 17))
    assert frame == {"type": "event", "event": {"id": "a"}, "partition": 3, "offset": 17}


def test_filters_see_the_inside_of_language_and_sentiment() -> None:
    seen = facets(RECORD)
    assert (seen.source, seen.kind, seen.language, seen.sentiment) == ("github", "activity", "en", "neutral")
    assert seen.prose == ("apache/kafka", "octocat")
    bare = facets({"source": "weather", "kind": "observation", "language": None, "sentiment": None})
    assert (bare.language, bare.sentiment, bare.prose) == ("", "", ())


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1420070400123, "2015-01-01T00:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(time: int, text: str) -> None:
    assert rfc3339(time) == text
