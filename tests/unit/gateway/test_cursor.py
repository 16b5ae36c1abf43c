"""A cursor survives the way to a client and back, and nothing else passes for one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from services.gateway.cursor import Cursor, decode, encode, start_from

OFFSETS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=16).map(tuple)


@given(st.text(max_size=40).filter(lambda t: t.isprintable()), OFFSETS)
def test_a_cursor_comes_back_as_it_went(topic_id: str, offsets: tuple[int, ...]) -> None:
    cursor = Cursor(topic_id, offsets)
    assert decode(encode(cursor)) == cursor


def token(body: bytes) -> str:
    return "1." + base64.urlsafe_b64encode(body).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        None,
        7,
        "",
        "1.",
        "2." + encode(Cursor("t", (1,)))[2:],
        encode(Cursor("t", (1,)))[:-3],
        "1.ä",
        "1.!!!!",
        token(b'{"t":1}'),
        token(b'["t",[]]'),
        token(b'["t",[-1]]'),
        token(b'["t",[true]]'),
        token(b'["t",[1.5]]'),
        token(b'["t",[9223372036854775808]]'),
        token(b"[5,[1]]"),
        token(b"[" * 1000),
        "1." + "A" * 9000,
    ],
)
def test_what_no_gateway_made_is_refused(given: object) -> None:
    with pytest.raises(DataError, match="bad-cursor"):
        decode(given)


@given(st.text())
def test_any_text_is_a_cursor_or_a_data_error(text: str) -> None:
    try:
        decode(text)
        decode("1." + text)
    except DataError as error:
        assert error.reason == "bad-cursor"  # noqa: PT017  either outcome is right; no other exception is


def test_reading_goes_on_where_the_cursor_points() -> None:
    start = start_from(Cursor("t", (5, 7)), "t", {0: 0, 1: 0}, {0: 9, 1: 7})
    assert (start.offsets, start.gone, start.remade) == ({0: 5, 1: 7}, 0, False)


def test_what_the_topic_no_longer_keeps_is_counted() -> None:
    start = start_from(Cursor("t", (5, 7)), "t", {0: 8, 1: 2}, {0: 9, 1: 7})
    assert (start.offsets, start.gone) == ({0: 8, 1: 7}, 3)


def test_a_topic_made_again_is_read_from_its_beginning() -> None:
    start = start_from(Cursor("old", (500, 700)), "new", {0: 1, 1: 2}, {0: 9, 1: 7})
    assert start.offsets == {0: 1, 1: 2}
    assert start.remade


def test_a_new_partition_is_read_from_its_beginning() -> None:
    assert start_from(Cursor("t", (5,)), "t", {0: 0, 1: 3}, {0: 9, 1: 7}).offsets == {0: 5, 1: 3}


@pytest.mark.parametrize("offsets", [(5, 8), (5, 7, 0)])
def test_a_cursor_from_elsewhere_is_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="bad-cursor"):
        start_from(Cursor("t", offsets), "t", {0: 0, 1: 0}, {0: 9, 1: 7})
