"""RFC 3339 to milliseconds since 1970-01-01 UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def rfc3339_ms(text: str) -> int:
    """Milliseconds of a timestamp with an offset, e.g. `2015-01-01T00:00:00Z`; finer fractions are cut off.

    A leap second (`:60`, RFC 3339 section 5.7) is the first moment of the next minute, as POSIX has it.

    Raises:
        ValueError: not RFC 3339, no such day or time, or outside the years 1 to 9999.
    """
    if (match := _RFC3339.fullmatch(text)) is None:
        raise ValueError("not an RFC 3339 timestamp")
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    fraction, zulu, sign, offset_hours, offset_minutes = match.groups()[6:]
    offset = timedelta()
    if zulu is None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError("no such offset")
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes)) * (-1 if sign == "-" else 1)
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=timezone(offset))
    ms = (moment - _EPOCH) // _MS
    return ms + 1000 if leap else ms + int((fraction or "0")[:3].ljust(3, "0"))
