"""Kinds of arguments that several commands take."""

import re
from datetime import UTC, datetime

import click

from penstock.clock import SystemClock

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(rf"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>{'|'.join(_UNITS_S)})?")


class Duration(click.ParamType[float]):
    """`500ms`, `60s`, `2m`, `1h`, `7d`; a bare number is seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return float(value)
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is no duration; write it as 500ms, 60s, 2m, 1h or 7d", param, ctx)
        return float(found["number"]) * _UNITS_S[found["unit"] or "s"]


class Moment(click.ParamType[int]):
    """A time as RFC 3339 (UTC where it names no zone), or how long ago as a duration. The value is in ms since 1970."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        ago = _DURATION.fullmatch(value.strip())
        if ago is not None and ago["unit"] is not None:
            return SystemClock().now_ms() - int(float(ago["number"]) * _UNITS_S[ago["unit"]] * 1000)
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write it as 2026-01-31T12:00:00Z, or as 2h for two hours ago", param, ctx)
        return int((when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() * 1000)


DURATION = Duration()
MOMENT = Moment()
