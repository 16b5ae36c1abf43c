"""RFC 3339 to milliseconds and back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.timestamps import rfc3339_ms, to_rfc3339


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.999999999z", 999),
        ("1970-01-01 00:00:00.5Z", 500),
        ("1970-01-01T00:00:00-01:30", 5_400_000),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2015-06-30T23:59:60Z", 1_435_708_800_000),
        ("2015-06-30T23:59:60.7Z", 1_435_708_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_what_rfc_3339_allows_is_read(text: str, ms: int) -> None:
    assert rfc3339_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2015", "2015-01-01", "2015-01-01T00:00:00", "2015-01-01T00:00Z", "2015-W01-1T00:00:00Z"),
        *("2015-02-29T00:00:00Z", "2015-13-01T00:00:00Z", "2015-01-01T24:00:00Z", "2015-01-01T00:60:00Z"),
        *("2015-01-01T00:00:61Z", "2015-01-01T00:00:00+24:00", "2015-01-01T00:00:00+00:60", "0000-01-01T00:00:00Z"),
        *("2015-01-01T00:00:00.Z", "\uff12015-01-01T00:00:00Z", "2015-01-01T00:00:00Z\n", "+2015-01-01T00:00:00Z"),
    ],
)
def test_what_it_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rfc3339_ms(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_comes_back(moment: datetime) -> None:
    ms = rfc3339_ms(moment.isoformat())
    assert rfc3339_ms(to_rfc3339(ms)) == ms
    assert to_rfc3339(ms)[:19] == moment.replace(tzinfo=None).isoformat()[:19]


@pytest.mark.parametrize("ms", [253_402_300_800_000, -62_135_596_800_001, 10**30])
def test_a_year_that_cannot_be_written_is_refused(ms: int) -> None:
    with pytest.raises(ValueError):
        to_rfc3339(ms)
