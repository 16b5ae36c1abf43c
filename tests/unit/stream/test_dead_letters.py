"""A dead letter keeps the original whole; what cannot fit is cut, never refused."""

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.clock import SystemClock
from penstock.errors import DataError
from penstock.schema import files
from penstock.schema.avro import parse_record
from penstock.schema.codec import Codec
from penstock.schema.decode import compile_decoder
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Dead
from penstock.stream.port import Outgoing
from penstock.testing.builders import record

MAX_BYTES = 100_000
CODEC = Codec(1, files.latest("dead_letter"))
UID = bytes(range(16))


def wrap(
    value: bytes | None, key: bytes | None = b"k", headers: Sequence[tuple[str, bytes | None]] = ()
) -> tuple[Outgoing, dict[str, Any]]:
    letters = DeadLetters("enrich", CODEC.encode, {"events.unique": "id"}, SystemClock(), MAX_BYTES)
    original = record(value, topic="events.unique", partition=2, offset=7, key=key, headers=headers, timestamp_ms=123)
    out = letters.wrap(Dead(original, DataError("truncated", "it ends early", field="text")))
    schema = parse_record(files.latest("dead_letter"))
    assert out.value is not None
    return out, compile_decoder(schema, schema)(out.value, 5)


def size(out: Outgoing) -> int:
    return len(out.key or b"") + len(out.value or b"") + sum(len(n) + len(v or b"") for n, v in out.headers)


def test_it_holds_the_original_whole_its_coordinate_and_the_reason() -> None:
    headers = [("uid", UID), ("source", b"github"), ("own", None), ("own", b"twice")]
    out, letter = wrap(b"body", headers=headers)
    assert (out.topic, out.key) == ("dlq.enrich", b"k")
    assert (letter["topic"], letter["topic_id"], letter["partition"], letter["offset"]) == ("events.unique", "id", 2, 7)
    assert (letter["key"], letter["value"], letter["timestamp"]) == (b"k", b"body", 123)
    assert [(one["key"], one["value"]) for one in letter["headers"]] == headers
    assert (letter["reason"], letter["field"], letter["attempts"]) == ("truncated", "text", 1)
    assert (letter["uid"], letter["source"]) == (UID, "github")
    assert out.headers == [("uid", UID), ("source", b"github")], "only ours stand outside the letter"


def test_a_retried_record_says_how_often_it_was_tried() -> None:
    assert wrap(b"x", headers=[("retry-count", b"2")])[1]["attempts"] == 3


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (b"v" * 1_000_000, b"k", ()),
        (b"v", b"k" * 1_000_000, ()),
        (None, b"k", [("huge", b"h" * 1_000_000), ("uid", UID)]),
        (b"v", None, [(f"h{number}", b"x" * 900) for number in range(1000)]),
        (b"v" * 1_000_000, b"k" * 1_000_000, [("huge", b"h" * 1_000_000)]),
    ],
    ids=["value", "key", "header", "many headers", "all"],
)
def test_what_cannot_fit_is_cut_and_the_letter_is_written(
    value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> None:
    out, letter = wrap(value, key, headers)
    assert size(out) <= MAX_BYTES
    if value is not None and len(value) > MAX_BYTES:
        assert letter["value_size"] == len(value)
        assert value.startswith(letter["value"])
    assert (letter["partition"], letter["offset"]) == (2, 7), "it is still counted by its coordinate"


def test_what_just_fits_is_kept_whole() -> None:
    out, letter = wrap(b"v" * 80_000)
    assert letter["value"] == b"v" * 80_000
    assert letter["value_size"] is None
    assert size(out) <= MAX_BYTES
