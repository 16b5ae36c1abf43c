"""What turns recorded lines into events: one parser per source, without I/O.

A parser says what a line means; whether the result may be taken in is decided by `penstock.event_input.parse_event`,
as for every other door.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from penstock.errors import DataError


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that is no event, and why: a short stable slug, counted in the manifest."""

    reason: str


Fields = dict[str, Any]
"""An event as POST /events takes it."""


class Parser(Protocol):
    """Made anew for each file, since a file may begin with a header."""

    def parse(self, line: bytes) -> list[Fields] | Skipped:
        """What one line holds, in its order. `line` is without its line end, and not empty.

        Raises:
            DataError: this is not a line of such a recording; the file is not what it should be.
        """
        ...


def line_id(line: bytes) -> str:
    """The native id of an event whose source has none: a hash of its raw line."""
    return hashlib.blake2b(line, digest_size=16).hexdigest()


def json_object(line: bytes) -> Mapping[str, Any]:
    """The object that a line holds.

    Raises:
        DataError: it is not JSON, or not an object.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError("not-json", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError("wrong-type", "not a JSON object")
    return found


def text_of(entries: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Those of the entries that are there, as attributes."""
    found = {}
    for name in names:
        value = entries.get(name)
        if value is not None and value != "":
            found[name] = value if isinstance(value, str) else orjson.dumps(value).decode()
    return found
