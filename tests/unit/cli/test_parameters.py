"""Durations and times as people write them on a command line."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.parameters import DURATION, MOMENT
from penstock.cli.printable import printable
from penstock.clock import SystemClock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60.0), ("500ms", 0.5), ("2m", 120.0), ("2 min", 120.0), ("1h", 3600.0), ("7d", 604_800.0), ("1.5", 1.5)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1w", "1e3s", "60 seconds", "nan"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="60s"):
        DURATION.convert(text, None, None)


def test_a_time_without_a_zone_is_utc() -> None:
    assert MOMENT.convert("2026-01-31T12:00:00", None, None) == MOMENT.convert("2026-01-31T13:00:00+01:00", None, None)
    assert MOMENT.convert("1970-01-01T00:00:01Z", None, None) == 1000


def test_a_duration_as_a_time_is_that_long_ago() -> None:
    ago_ms = SystemClock().now_ms() - MOMENT.convert("2h", None, None)
    assert 7_200_000 <= ago_ms < 7_260_000


def test_what_is_no_time_is_refused_with_examples() -> None:
    with pytest.raises(click.BadParameter, match="2h for two hours ago"):
        MOMENT.convert("yesterday", None, None)


@given(st.text())
def test_printable_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()


def test_printable_text_shows_what_was_there() -> None:
    assert printable("a\x1b[31mb\n\u202ec\ud800é雪") == "a\\x1b[31mb\\n\\u202ec\\ud800é雪"
