"""What /api/events is asked, as one bounded SQL query on the sink's table `events`; and its rows as events again.

Newest first by (ingested_at, uid), and on from where the last page ended: keyset pagination, since an OFFSET would
read and throw away all earlier pages. The day is named too, so that Postgres opens only the partitions it needs.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from penstock.errors import DataError
from services.gateway.filters import FIELDS, Filter, parse_filter
from services.gateway.messages import rfc3339

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Of texts in a page: an event that would go beyond it is the first of the next one."""
DEFAULT_DAYS = 7
MAX_DAYS = 400
_MAX_BEFORE_CHARS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PARAMETERS = (*FIELDS, "limit", "before", "days")

COLUMNS = (
    "uid",
    "id",
    "source",
    "kind",
    "occurred_at",
    "ingested_at",
    "version",
    "author",
    "title",
    "text",
    "url",
    "stated_language",
    "latitude",
    "longitude",
    "location_name",
    "measures",
    "attributes",
    "language",
    "language_confidence",
    "entities",
    "keywords",
    "topics",
    "place",
    "sentiment",
    "sentiment_score",
    "sentiment_detail",
)


@dataclass(frozen=True, slots=True)
class Page:
    """The place right after an event: the next page begins below it."""

    ingested_at: datetime
    uid: bytes


@dataclass(frozen=True, slots=True)
class Search:
    wanted: Filter
    limit: int
    since: datetime
    before: Page | None


def parse_search(given: Mapping[str, list[str]], now_ms: int) -> Search:
    """
    Args:
        given: each parameter of the query string with all its values.
        now_ms: `days` are counted back from here.

    Raises:
        DataError: `bad-parameter` or `bad-filter`, naming the parameter.
    """
    for name, values in given.items():
        if name not in PARAMETERS:
            raise DataError("bad-parameter", f"there is {', '.join(PARAMETERS)}", field=name)
        if len(values) > 1 and name in ("text", "limit", "before", "days"):
            raise DataError("bad-parameter", "given more than once", field=name)
    wanted: dict[str, object] = {name: given[name] for name in FIELDS if name in given}
    if "text" in wanted:
        wanted["text"] = given["text"][0]
    if any("\0" in value for values in given.values() for value in values):
        raise DataError("bad-parameter", "a NUL character is in no event")
    days = _number(given, "days", DEFAULT_DAYS, MAX_DAYS)
    before = given.get("before")
    return Search(
        wanted=parse_filter(wanted),
        limit=_number(given, "limit", DEFAULT_LIMIT, MAX_LIMIT),
        since=datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=days),
        before=None if before is None else decode_page(before[0]),
    )


def sql(search: Search) -> tuple[str, list[object]]:
    """The query and its arguments; every value is an argument, nothing a client sent becomes part of the text."""
    arguments: list[object] = []

    def argument(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    where = [f"day >= {argument(search.since.date())}", f"ingested_at >= {argument(search.since)}"]
    for name in ("source", "kind", "language", "sentiment"):
        values: frozenset[str] = getattr(search.wanted, name)
        if values:
            where.append(f"{name} = ANY({argument(sorted(values))}::text[])")
    if search.wanted.text:
        pattern = argument(f"%{_escape(search.wanted.text)}%")
        where.append(f"(title ILIKE {pattern} OR text ILIKE {pattern} OR author ILIKE {pattern})")
    if search.before is not None:
        at, uid = argument(search.before.ingested_at), argument(search.before.uid)
        where.append(f"day <= {argument(search.before.ingested_at.date())}")
        where.append(f"(ingested_at, uid) < ({at}, {uid})")
    columns, conditions = ", ".join(COLUMNS), " AND ".join(where)
    text = (
        f"SELECT {columns} FROM events WHERE {conditions} "  # noqa: S608  only names and $n
        f"ORDER BY ingested_at DESC, uid DESC LIMIT {argument(search.limit)}"
    )
    return text, arguments


def size_bytes(row: Mapping[str, object]) -> int:
    """Of what is long in a row: its texts, and its JSON, which comes as text."""
    return sum(len(value.encode()) for value in row.values() if isinstance(value, str))


def event_of(row: Mapping[str, object]) -> dict[str, object]:
    """A row as the event that /ws would have sent."""
    location = {"latitude": row["latitude"], "longitude": row["longitude"], "name": row["location_name"]}
    language = {"code": row["language"], "confidence": row["language_confidence"]}
    sentiment = {"label": row["sentiment"], "score": row["sentiment_score"]}
    kept = (
        "id", "source", "kind", "occurred_at", "ingested_at", "version", "author", "title", "text", "url",
        "stated_language",
    )  # fmt: skip
    event = {name: row[name] for name in kept}
    event["uid"] = row["uid"].hex() if isinstance(row["uid"], bytes) else None
    event["occurred_at"] = _time(row["occurred_at"])
    event["ingested_at"] = _time(row["ingested_at"])
    event["location"] = location if any(value is not None for value in location.values()) else None
    event["language"] = None if row["language"] is None else language
    event["sentiment"] = None if row["sentiment"] is None else sentiment | _object(row["sentiment_detail"])
    event["measures"] = _object(row["measures"])
    event["attributes"] = _object(row["attributes"])
    for name in ("entities", "keywords", "topics"):
        event[name] = _json(row[name]) or []
    event["place"] = _json(row["place"])
    return event


def page_after(row: Mapping[str, object]) -> str:
    """The `before` of the next page, given the last row of this one."""
    at, uid = row["ingested_at"], row["uid"]
    assert isinstance(at, datetime)  # noqa: S101  the column's type
    assert isinstance(uid, bytes)  # noqa: S101
    packed = orjson.dumps([(at - _EPOCH) // timedelta(microseconds=1), uid.hex()])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode_page(text: str) -> Page:
    """
    Raises:
        DataError: `bad-parameter`.
    """
    try:
        if len(text) > _MAX_BEFORE_CHARS:
            raise ValueError
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        match orjson.loads(packed):
            case [int(at), str(uid)]:
                return Page(_EPOCH + timedelta(microseconds=at), bytes.fromhex(uid))
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise DataError("bad-parameter", "take `next` of the page before, unchanged", field="before")


def _number(given: Mapping[str, list[str]], name: str, default: int, highest: int) -> int:
    if name not in given:
        return default
    text = given[name][0]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= highest):
        raise DataError("bad-parameter", f"a whole number from 1 to {highest}", field=name)
    return int(text)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _time(value: object) -> str:
    assert isinstance(value, datetime)  # noqa: S101  the column's type
    return rfc3339((value - _EPOCH) // timedelta(milliseconds=1))


def _json(value: object) -> object:
    """The value of a jsonb column, which asyncpg hands out as text."""
    return orjson.loads(value) if isinstance(value, str) else value


def _object(value: object) -> dict[str, object]:
    found = _json(value)
    return found if isinstance(found, dict) else {}
