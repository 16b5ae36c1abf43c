"""What the body of a POST holds: one event as JSON, or one on each line."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from penstock.errors import DataError
from penstock.event import Event
from penstock.event_input import parse_event

MAX_EVENTS = 1_000
MAX_BODY_BYTES = 8 << 20


class TooManyEventsError(Exception):
    """More lines than one request may have."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is not taken. `reason` begins with the error's short stable name, then a colon."""

    line: int
    field: str | None
    reason: str

    @staticmethod
    def of(line: int, error: DataError) -> "Refusal":
        return Refusal(line, error.field, str(error))


@dataclass(slots=True)
class Read:
    """Lines count from 1, blank ones included."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.events) + len(self.refused)


def read_events(body: bytes, now_ms: int) -> Read:
    """Every event in the body, and every line that is none.

    A body that is one JSON value as a whole is one event, however many lines it takes.

    Raises:
        TooManyEventsError: more than MAX_EVENTS lines that are not blank.
    """
    read = Read()
    for number, line in _lines(body):
        try:
            read.events.append((number, parse_event(_json(line), now_ms)))
        except DataError as error:
            read.refused.append(Refusal.of(number, error))
    if not len(read):
        read.refused.append(Refusal.of(1, DataError("empty", "the body holds no event")))
    return read


def _lines(body: bytes) -> Sequence[tuple[int, bytes]]:
    if b"\n" in body.strip() and _is_json(body):
        return [(1, body)]
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace()]
    if len(lines) > MAX_EVENTS:
        raise TooManyEventsError(f"{len(lines):,} lines, at most {MAX_EVENTS:,} in one request")
    return lines


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _json(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError("not-json", str(error)) from None
