"""What goes over /ws, both ways. Everything is a JSON object with a `type`, in one text message."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from penstock.errors import DataError
from services.gateway import cursor
from services.gateway.cursor import Cursor
from services.gateway.filters import Facets, Filter, parse_filter

MAX_MESSAGE_BYTES = 64 * 1024
"""The largest message a client may send: a filter with all its values fits."""
MAX_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class Subscribe:
    wanted: Filter
    cursor: Cursor | None
    """None: from the newest event on."""
    id: str | None = None
    """The client's name for this subscription; what is sent from its first cursor on belongs to it."""


def parse_message(data: str | bytes) -> Subscribe:
    """
    Raises:
        DataError: `bad-message`, `bad-filter` or `bad-cursor`; what the client gets back as an `error`.
    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DataError("bad-message", f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise DataError("bad-message", 'a message is an object, e.g. {"type": "subscribe"}')
    if message.get("type") != "subscribe":
        raise DataError("bad-message", "the only message a client sends is of type subscribe", field="type")
    if unknown := sorted(message.keys() - {"type", "id", "filter", "cursor"}):
        detail = f"a subscribe has id, filter and cursor, not {', '.join(unknown)}"
        raise DataError("bad-message", detail, field=unknown[0])
    name, token = message.get("id"), message.get("cursor")
    if name is not None and (not isinstance(name, str) or len(name) > MAX_ID_CHARS):
        raise DataError("bad-message", f"a string of at most {MAX_ID_CHARS} characters", field="id")
    return Subscribe(parse_filter(message.get("filter")), None if token is None else cursor.decode(token), name)


def event_frame(event: Mapping[str, object], partition: int, offset: int) -> bytes:
    return orjson.dumps({"type": "event", "event": event, "partition": partition, "offset": offset})


def cursor_frame(token: str, name: str | None, *, lag: int, lag_ms: int, live: bool) -> bytes:
    """Says where the client stands: `lag` records lie between what it was sent and the end of the topic, `lag_ms` is
    the age of the newest event it was sent (0 when it lacks nothing), and it is not `live` while it is read history to.
    `name` is the id that its subscribe had.
    """
    return orjson.dumps({"type": "cursor", "cursor": token, "id": name, "lag": lag, "lag_ms": lag_ms, "live": live})


def dropped_frame(count: int, why: str) -> bytes:
    """`why` is `slow` (the client did not keep up) or `expired` (gone from the topic before it asked)."""
    return orjson.dumps({"type": "dropped", "count": count, "why": why})


def error_frame(error: DataError) -> bytes:
    return orjson.dumps({"type": "error", "reason": error.reason, "detail": error.detail, "field": error.field})


def public_event(record: Mapping[str, object], uid: bytes | None) -> dict[str, object]:
    """A ScoredEvent as every reader gets it, by /ws and /api/events: its fields, times as RFC 3339, and the uid."""
    event = dict(record)
    event["uid"] = None if uid is None else uid.hex()
    for name in ("occurred_at", "ingested_at"):
        event[name] = rfc3339(event[name])
    return event


def rfc3339(time: object) -> str:
    """Milliseconds since 1970-01-01 UTC as e.g. `2015-01-01T00:00:00.000Z`."""
    if not isinstance(time, int):
        raise TypeError(f"a time is an int of milliseconds, not {time!r}")
    moment = datetime.fromtimestamp(time // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % 1000:03d}Z"


def facets(record: Mapping[str, object]) -> Facets:
    """What filters look at, of a ScoredEvent."""
    prose = tuple(text for name in ("title", "text", "author") if isinstance(text := record.get(name), str))
    return Facets(
        source=str(record.get("source") or ""),
        kind=str(record.get("kind") or ""),
        language=_inner(record.get("language"), "code"),
        sentiment=_inner(record.get("sentiment"), "label"),
        prose=prose,
    )


def _inner(part: object, name: str) -> str:
    return str(part.get(name) or "") if isinstance(part, dict) else ""
