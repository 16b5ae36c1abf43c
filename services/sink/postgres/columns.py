"""From a row to the columns of the table `events`, encoded as Postgres wants them in a binary COPY. Pure.

The order here is the order of the COPY; the columns themselves are made in migrations/. Times and JSON are handed over
in the form that `use_codecs` in database.py passes through as it is: objects that asyncpg would take apart again cost
as much as the decoding of the event.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import cast

import orjson

from penstock.errors import DataError
from services.sink.rows import Row

Cells = tuple[object, ...]

COLUMNS = (
    "day",
    "uid",
    "source",
    "ingested_at",
    "occurred_at",
    "kind",
    "id",
    "version",
    "author",
    "title",
    "text",
    "url",
    "stated_language",
    "latitude",
    "longitude",
    "location_name",
    "language",
    "language_confidence",
    "sentiment",
    "sentiment_score",
    "sentiment_detail",
    "measures",
    "attributes",
    "entities",
    "keywords",
    "topics",
    "place",
    "topic",
    "topic_partition",
    "topic_offset",
)
DAY = COLUMNS.index("day")

_DAY_MS = 86_400_000
_EPOCH = date(2000, 1, 1)
"""Postgres' own."""
_EPOCH_MS = 946_684_800_000
_EPOCH_DAY = _EPOCH_MS // _DAY_MS
_FIRST_MS = -62_135_596_800_000
_END_MS = 253_402_300_800_000
_JSONB_VERSION = b"\x01"
_EMPTY = b"\x01{}"
_NOWHERE: Mapping[str, None] = {"latitude": None, "longitude": None, "name": None}
_NO_LANGUAGE: Mapping[str, None] = {"code": None, "confidence": None}


def cells_of(row: Row) -> Cells:
    """
    Raises:
        DataError: Postgres cannot hold it: a time outside the years 1 to 9999, or NaN and infinity among the measures,
            which JSON has no words for.
    """
    event = row.event
    location = event["location"] or _NOWHERE
    language = event["language"] or _NO_LANGUAGE
    sentiment = event["sentiment"]
    return (
        (row.ingested_at_ms // _DAY_MS - _EPOCH_DAY,),
        row.uid,
        row.source,
        _time(row.ingested_at_ms, "ingested_at"),
        _time(event["occurred_at"], "occurred_at"),
        event["kind"],
        event["id"],
        event["version"],
        event["author"],
        event["title"],
        event["text"],
        event["url"],
        event["stated_language"],
        location["latitude"],
        location["longitude"],
        location["name"],
        language["code"],
        language["confidence"],
        sentiment["label"] if sentiment else None,
        sentiment["score"] if sentiment else None,
        _detail(sentiment) if sentiment else None,
        _measures(event["measures"]),
        _json(event["attributes"]),
        _json(event["entities"]) if event["entities"] else None,
        _json(event["keywords"]) if event["keywords"] else None,
        _json(event["topics"]) if event["topics"] else None,
        _json(event["place"]) if event["place"] else None,
        row.topic,
        row.partition,
        row.offset,
    )


def days_of(rows: Iterable[Cells]) -> set[date]:
    numbers = cast("set[tuple[int]]", {cells[DAY] for cells in rows})
    return {_EPOCH + timedelta(days=days) for (days,) in numbers}


def _time(value_ms: int, field: str) -> tuple[int]:
    """Microseconds since Postgres' epoch."""
    if not _FIRST_MS <= value_ms < _END_MS:
        raise DataError("bad-timestamp", f"{value_ms} ms lies outside the years 1 to 9999", field=field)
    return ((value_ms - _EPOCH_MS) * 1000,)


def _detail(sentiment: Mapping[str, object]) -> bytes:
    return _json(
        {
            "probabilities": sentiment["probabilities"],
            "emotions": sentiment["emotions"],
            "aspects": sentiment["aspects"],
            "sarcasm": sentiment["sarcasm"],
            "model": sentiment["model"],
        }
    )


def _measures(measures: Mapping[str, float]) -> bytes:
    if not measures:
        return _EMPTY
    found = _json(measures)
    if b"null" in found:  # what NaN and infinity become; or part of a name
        for name, value in measures.items():
            if not math.isfinite(value):
                raise DataError("not-finite", f"{value} cannot be stored as JSON", field=f"measures.{name}")
    return found


def _json(value: object) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value)
