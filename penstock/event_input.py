"""What is asked of an event before Penstock takes it in: at POST /events, at events.inbox and by `penstock publish`.

Pure: bytes were decoded elsewhere, `now` is handed in. What passes `parse_event` can be encoded in Avro and UTF-8 and
stored in Postgres and Parquet; nothing behind ingest has to ask again.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from penstock.errors import DataError
from penstock.event import KINDS, MAX_EVENT_BYTES, Event, Location, encoded_size_bytes
from penstock.timestamps import rfc3339_ms

SOURCE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A source's name becomes part of object paths and headers, so it holds nothing that would need quoting there."""
UNKNOWN_SOURCE = "unknown"
"""What the ledger counts records under that state no source; nobody may claim it."""

MAX_SOURCE_CHARS = 64
MAX_ID_CHARS = 512
"""With 4 bytes a character still below the 2,704 bytes that a Postgres b-tree entry can hold."""
MAX_VERSION_CHARS = 256
MAX_AUTHOR_CHARS = 512
MAX_TITLE_CHARS = 4_096
MAX_URL_CHARS = 8_192
MAX_LANGUAGE_CHARS = 64
MAX_PLACE_CHARS = 512
MAX_ENTRIES = 256
"""Of `measures` and of `attributes`, each."""
MAX_NAME_CHARS = 256
"""Of the name of a measure or an attribute."""
MAX_FUTURE_MS = 24 * 60 * 60 * 1000
"""How far `occurred_at` may lie ahead of our clock."""
MAX_SHOWN_CHARS = 64
"""Of a name that somebody else chose, in an error."""

_Value = TypeVar("_Value")
_Reader = Callable[[str, object], Any]
"""From a field's name and its JSON value to its value in the event; raises DataError."""


def parse_event(obj: object, now_ms: int) -> Event:
    """The event that a producer's JSON object (or decoded Avro record) describes, ingested at `now_ms`.

    `id`, `source`, `kind` and `occurred_at` are required; null stands for absent. An id that does not begin with
    `<source>:` gets that prefix.

    Raises:
        DataError: with the field at fault; the first one found, where there are several.
    """
    if not isinstance(obj, Mapping):
        raise DataError("wrong-type", f"an event is a JSON object, not {_json_type(obj)}")
    for name in obj:
        if name == "ingested_at":
            raise DataError("unknown-field", "`ingested_at` is set by ingest, leave it out", field="ingested_at")
        if name not in _READERS:
            shown = _shown(str(name))
            raise DataError(
                "unknown-field", f"an event has no field {shown}; it has {', '.join(_READERS)}", field=shown
            )
    for name in ("source", "id", "kind", "occurred_at"):
        if obj.get(name) is None:
            raise DataError("missing-field", f"`{name}` is required", field=name)
    values = {str(name): _READERS[name](name, value) for name, value in obj.items() if value is not None}
    if not values["id"].startswith(f"{values['source']}:"):
        values["id"] = f"{values['source']}:{values['id']}"
    if not 0 <= values["occurred_at"] <= now_ms + MAX_FUTURE_MS:
        raise DataError("out-of-range", "`occurred_at` must lie between 1970 and a day from now", field="occurred_at")
    event = Event(**values, ingested_at=now_ms)
    if (size_bytes := encoded_size_bytes(event)) > MAX_EVENT_BYTES:
        field_at_fault = "text" if event.text is not None and len(event.text) * 4 > MAX_EVENT_BYTES else None
        raise DataError(
            "too-large", f"the event takes {size_bytes:,} bytes, more than {MAX_EVENT_BYTES:,}", field=field_at_fault
        )
    return event


def _text(name: str, value: object, max_chars: int, *, may_be_empty: bool = True) -> str:
    if not isinstance(value, str):
        raise DataError("wrong-type", f"`{name}` must be a string, not {_json_type(value)}", field=name)
    if not value and not may_be_empty:
        raise DataError("empty", f"`{name}` must not be empty", field=name)
    if len(value) > max_chars:
        raise DataError("too-long", f"`{name}` has {len(value):,} characters, at most {max_chars:,}", field=name)
    if "\0" in value:
        raise DataError("nul-character", f"`{name}` holds a NUL character, which Postgres cannot store", field=name)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise DataError(
                "lone-surrogate", f"`{name}` holds half a surrogate pair, no character", field=name
            ) from None
    return value


def _read_text(max_chars: int) -> _Reader:
    return lambda name, value: _text(name, value, max_chars)


def _read_id(name: str, value: object) -> str:
    return _text(name, value, MAX_ID_CHARS, may_be_empty=False)


def _read_body(name: str, value: object) -> str:
    if isinstance(value, str) and len(value) > MAX_EVENT_BYTES:
        detail = f"`{name}` alone has {len(value):,} characters; an event may take {MAX_EVENT_BYTES:,} bytes"
        raise DataError("too-large", detail, field=name)
    return _text(name, value, MAX_EVENT_BYTES)


def _read_source(name: str, value: object) -> str:
    source = _text(name, value, MAX_SOURCE_CHARS, may_be_empty=False)
    if SOURCE_PATTERN.fullmatch(source) is None:
        detail = "`source` may hold letters a-z, digits, '.', '_' and '-', and begins with a letter or digit"
        raise DataError("not-allowed", detail, field=name)
    if source == UNKNOWN_SOURCE:
        raise DataError(
            "not-allowed", f"`{UNKNOWN_SOURCE}` is not a source: records without one count as it", field=name
        )
    return source


def _read_kind(name: str, value: object) -> str:
    kind = _text(name, value, MAX_NAME_CHARS)
    if kind not in KINDS:
        raise DataError("not-allowed", f"`kind` must be one of {', '.join(KINDS)}", field=name)
    return kind


def _read_time(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        detail = f"`{name}` must be an RFC 3339 string or whole milliseconds since 1970, not {_json_type(value)}"
        raise DataError("wrong-type", detail, field=name)
    if isinstance(value, int):
        return value
    try:
        return rfc3339_ms(value)
    except ValueError:
        detail = (
            f"`{name}` must be a time as RFC 3339 writes it, e.g. 2015-01-01T00:00:00Z, in the years 1970 and later"
        )
        raise DataError("bad-time", detail, field=name) from None


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError("wrong-type", f"`{name}` must be a number, not {_json_type(value)}", field=name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError("not-finite", f"`{name}` must be a finite number (NaN and infinity are none)", field=name)
    return number


def _degrees(name: str, value: object, limit: float) -> float:
    degrees = _number(name, value)
    if abs(degrees) > limit:
        raise DataError("out-of-range", f"`{name}` must lie between -{limit} and {limit} degrees", field=name)
    return degrees


def _object(name: str, value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise DataError("wrong-type", f"`{name}` must be an object, not {_json_type(value)}", field=name)
    return value


def _read_location(name: str, value: object) -> Location | None:
    place = dict(_object(name, value))
    latitude, longitude, label = (place.pop(part, None) for part in ("latitude", "longitude", "name"))
    for part in place:
        shown = f"{name}.{_shown(part)}"
        raise DataError("unknown-field", f"no field {shown}; it has latitude, longitude and name", field=shown)
    if (latitude is None) != (longitude is None):
        raise DataError("missing-field", f"`{name}` needs latitude and longitude, or neither", field=name)
    if latitude is None and label is None:
        return None
    return Location(
        None if latitude is None else _degrees(f"{name}.latitude", latitude, 90.0),
        None if longitude is None else _degrees(f"{name}.longitude", longitude, 180.0),
        None if label is None else _text(f"{name}.name", label, MAX_PLACE_CHARS),
    )


def _read_entries(read: Callable[[str, object], _Value]) -> Callable[[str, object], dict[str, _Value]]:
    def read_all(name: str, value: object) -> dict[str, _Value]:
        entries = _object(name, value)
        if len(entries) > MAX_ENTRIES:
            raise DataError("too-many", f"`{name}` has {len(entries):,} entries, at most {MAX_ENTRIES}", field=name)
        found: dict[str, _Value] = {}
        for key, entry in entries.items():
            label = _text(f"{name}.{_shown(key)}", key, MAX_NAME_CHARS, may_be_empty=False)
            found[label] = read(f"{name}.{_shown(key)}", entry)
        return found

    return read_all


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _shown(name: object) -> str:
    """A name that somebody else chose, fit to be printed."""
    return ascii(name)[1:-1][:MAX_SHOWN_CHARS] if isinstance(name, str) else ascii(name)[:MAX_SHOWN_CHARS]


_READERS: dict[str, _Reader] = {
    "id": _read_id,
    "source": _read_source,
    "kind": _read_kind,
    "occurred_at": _read_time,
    "version": _read_text(MAX_VERSION_CHARS),
    "author": _read_text(MAX_AUTHOR_CHARS),
    "title": _read_text(MAX_TITLE_CHARS),
    "text": _read_body,
    "url": _read_text(MAX_URL_CHARS),
    "stated_language": _read_text(MAX_LANGUAGE_CHARS),
    "location": _read_location,
    "measures": _read_entries(_number),
    "attributes": _read_entries(_read_body),
}
