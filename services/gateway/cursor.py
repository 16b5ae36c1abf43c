"""Where a reader of events.scored stands: for each partition the next offset, in one opaque string.

A client keeps the string and hands it back; what is in it may change with its version, its first two characters.
The topic's id is in it because a topic that was deleted and made again starts anew at offset 0: an old cursor would
point at other events.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from penstock.errors import DataError

_VERSION = "1."
MAX_CHARS = 8192
_MAX_OFFSET = 2**63 - 1

Vector = Mapping[int, int]
"""Partition to next offset."""


@dataclass(frozen=True, slots=True)
class Cursor:
    topic_id: str
    offsets: tuple[int, ...]
    """By partition, from 0 up: the next offset to read."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins, and what was to be told about it."""

    offsets: dict[int, int]
    gone: int = 0
    """Offsets between the cursor and the earliest event that is still there: at least as many as events missed."""
    remade: bool = False
    """The cursor belongs to an earlier topic of the same name: everything in this one is new."""


def encode(cursor: Cursor) -> str:
    packed = orjson.dumps([cursor.topic_id, cursor.offsets])
    return _VERSION + base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode(text: object) -> Cursor:
    """
    Raises:
        DataError: `bad-cursor`; nothing but a string that `encode` made is taken.
    """
    if not isinstance(text, str) or len(text) > MAX_CHARS:
        raise DataError("bad-cursor", f"a cursor is a string of at most {MAX_CHARS} characters", field="cursor")
    if not text.startswith(_VERSION):
        raise DataError(
            "bad-cursor", "it was made by a newer gateway, or is none; subscribe without it", field="cursor"
        )
    body = text[len(_VERSION) :]
    try:
        packed = base64.b64decode(body.encode("ascii") + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
        content = orjson.loads(packed)
    except (binascii.Error, UnicodeEncodeError, orjson.JSONDecodeError):
        raise _unreadable() from None
    match content:
        case [str(topic_id), list(offsets)] if offsets and all(_is_offset(offset) for offset in offsets):
            return Cursor(topic_id, tuple(offsets))
    raise _unreadable()


def start_from(cursor: Cursor, topic_id: str, begins: Vector, ends: Vector) -> Start:
    """Where to go on from a cursor, given what the topic still holds: [begins, ends) of each partition.

    Partitions that were added since the cursor was made are read from their beginning.

    Raises:
        DataError: `bad-cursor`, if it points past the end or knows more partitions than there are.
    """
    if cursor.topic_id != topic_id:
        return Start(dict(begins), remade=True)
    if len(cursor.offsets) > len(begins):
        raise DataError(
            "bad-cursor", f"it knows {len(cursor.offsets)} partitions, the topic has {len(begins)}", field="cursor"
        )
    gone = 0
    offsets = dict(begins)
    for partition, offset in enumerate(cursor.offsets):
        if offset > ends[partition]:
            raise DataError(
                "bad-cursor", f"it points past the end of partition {partition} ({ends[partition]})", field="cursor"
            )
        gone += max(0, begins[partition] - offset)
        offsets[partition] = max(offset, begins[partition])
    return Start(offsets, gone)


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_OFFSET


def _unreadable() -> DataError:
    return DataError("bad-cursor", "it is damaged; subscribe without it to start at the newest event", field="cursor")
