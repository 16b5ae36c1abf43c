"""An event as it is inside Penstock; penstock/event_input.py says what is asked of one before it gets in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

KINDS = ("post", "comment", "article", "activity", "edit", "quote", "observation", "other")

MAX_EVENT_BYTES = 1 << 20
"""Of the Avro encoding with its 5 bytes of framing: the limit of events.raw; every later topic allows more."""
_FRAMING_BYTES = 5
_DOUBLE_BYTES = 8

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Location:
    """Degrees north and east; the name in the source's words."""

    latitude: float | None = None
    longitude: float | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event from one source; the fields are those of schemas/avro/event.v1.avsc. Times are ms since 1970 UTC."""

    id: str
    source: str
    kind: str
    occurred_at: int
    ingested_at: int
    version: str | None = None
    author: str | None = None
    title: str | None = None
    text: str | None = None
    url: str | None = None
    stated_language: str | None = None
    location: Location | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The Avro record, times as plain int ms."""
        place = self.location
        return {
            "id": self.id,
            "source": self.source,
            "kind": self.kind,
            "occurred_at": self.occurred_at,
            "ingested_at": self.ingested_at,
            "version": self.version,
            "author": self.author,
            "title": self.title,
            "text": self.text,
            "url": self.url,
            "stated_language": self.stated_language,
            "location": None
            if place is None
            else {"latitude": place.latitude, "longitude": place.longitude, "name": place.name},
            "measures": dict(self.measures),
            "attributes": dict(self.attributes),
        }


def encoded_size_bytes(event: Event) -> int:
    """Exactly what the event takes as a Kafka value: Avro by schemas/avro/event.v1.avsc, and its framing.

    Known before it is encoded, so that an event that the broker would refuse is never handed to a transaction.
    """
    size = _FRAMING_BYTES + _string(event.id) + _string(event.source) + 1  # the kind, an enum of fewer than 64
    size += _long(event.occurred_at) + _long(event.ingested_at)
    for text in (event.version, event.author, event.title, event.text, event.url, event.stated_language):
        size += _optional(text)
    size += 1
    if (place := event.location) is not None:
        size += sum(1 + (_DOUBLE_BYTES if degrees is not None else 0) for degrees in (place.latitude, place.longitude))
        size += _optional(place.name)
    size += _map(event.measures, lambda _: _DOUBLE_BYTES)
    return size + _map(event.attributes, _string)


def _long(value: int) -> int:
    """Bytes of a long in Avro: zig-zag, 7 bits a byte."""
    return max(1, -(-((value << 1) ^ (value >> 63)).bit_length() // 7))


def _string(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode())
    return _long(size) + size


def _optional(text: str | None) -> int:
    return 1 if text is None else 1 + _string(text)


def _map(entries: Mapping[str, _Value], value_size: Callable[[_Value], int]) -> int:
    if not entries:
        return 1
    return _long(len(entries)) + sum(_string(name) + value_size(value) for name, value in entries.items()) + 1
