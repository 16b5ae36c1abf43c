"""What the body of a POST holds, line by line."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from services.ingest.bodies import MAX_EVENTS, TooManyEventsError, read_events
from tests.unit.ingest.building import NOW_MS, posted


def ndjson(*objects: Any) -> bytes:
    return b"\n".join(orjson.dumps(obj) for obj in objects)


def errors(body: bytes) -> list[tuple[int, str | None, str]]:
    return [
        (refusal.line, refusal.field, refusal.reason.split(":")[0]) for refusal in read_events(body, NOW_MS).refused
    ]


@pytest.mark.parametrize("option", [None, orjson.OPT_INDENT_2])
def test_one_event_on_however_many_lines(option: int | None) -> None:
    read = read_events(orjson.dumps(posted(), option=option), NOW_MS)
    assert [(line, event.id) for line, event in read.events] == [(1, "shop:1")]


def test_lines_with_and_without_a_last_line_end_and_with_blank_ones_between() -> None:
    body = ndjson(posted(1), posted(2)) + b"\r\n\n  \n" + ndjson(posted(3)) + b"\n"
    read = read_events(body, NOW_MS)
    assert [(line, event.id) for line, event in read.events] == [(1, "shop:1"), (2, "shop:2"), (5, "shop:3")]
    assert not read.refused


def test_every_bad_line_is_told_with_number_field_and_reason() -> None:
    body = ndjson(posted(1), {"source": "shop"}, posted(3, kind="x")) + b"\nnot json\n[1]\n" + ndjson(posted(6))
    assert errors(body) == [
        (2, "id", "missing-field"),
        (3, "kind", "not-allowed"),
        (4, None, "not-json"),
        (5, None, "wrong-type"),
    ]
    assert [line for line, _ in read_events(body, NOW_MS).events] == [1, 6]


@pytest.mark.parametrize("body", [b"", b"\n", b" \n\t\r\n"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    assert errors(body) == [(1, None, "empty")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "not-json"),
        (b"\xef\xbb\xbf{}", "not-json"),
        (b'{"text": "\\ud800"}', "not-json"),
        (b'{"measures": {"a": NaN}}', "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"null", "wrong-type"),
        (b"[{}]", "wrong-type"),
        (b"{}", "missing-field"),
    ],
)
def test_what_is_no_event_is_refused(body: bytes, reason: str) -> None:
    assert [error[2] for error in errors(body)] == [reason]


def test_a_thousand_lines_are_taken_and_one_more_is_too_many() -> None:
    read = read_events(ndjson(*map(posted, range(MAX_EVENTS))) + b"\n\n", NOW_MS)
    assert len(read.events) == MAX_EVENTS
    with pytest.raises(TooManyEventsError, match="1,001 lines"):
        read_events(ndjson(*map(posted, range(MAX_EVENTS + 1))), NOW_MS)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"{}", b"\n", b"[", b"1", orjson.dumps(posted())])).map(b"".join)
)
def test_every_line_is_an_event_or_an_error_whatever_comes(body: bytes) -> None:
    read = read_events(body, NOW_MS)
    assert len(read) >= 1
    numbers = [line for line, _ in read.events] + [refusal.line for refusal in read.refused]
    assert len(set(numbers)) == len(numbers)


def test_a_refusal_says_in_words_what_is_wrong() -> None:
    error = DataError("missing-field", "`id` is required", field="id")
    assert read_events(b"{}", NOW_MS).refused[0].reason.startswith("missing-field: `source` is required")
    assert str(error) == "missing-field: `id` is required"
