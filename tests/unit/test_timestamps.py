"""RFC 3339 to milliseconds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.timestamps import rfc3339_ms


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
def test_every_moment_is_read_to_the_millisecond(moment: datetime) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert rfc3339_ms(moment.isoformat()) == since // timedelta(milliseconds=1)
