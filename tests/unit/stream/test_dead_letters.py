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
from penstock.stream.handler import Dead, Output
from penstock.stream.port import Outgoing, Record
from penstock.testing import Cluster
from penstock.testing.builders import outgoing, record
from penstock.testing.drain import drain

MAX_BYTES = 100_000
CODEC = Codec(1, files.latest("dead_letter"))
UID = bytes(range(16))


def wrap(
    value: bytes | None,
    key: bytes | None = b"k",
    headers: Sequence[tuple[str, bytes | None]] = (),
    topic: str = "events.unique",
) -> tuple[Outgoing, dict[str, Any]]:
    letters = DeadLetters("enrich", CODEC.encode, {topic: "id"}, SystemClock(), MAX_BYTES)
    original = record(value, topic=topic, partition=2, offset=7, key=key, headers=headers, timestamp_ms=123)
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


def test_a_retried_record_that_dies_again_keeps_the_ingest_time_of_its_first_life() -> None:
    headers = [("uid", UID), ("retry-count", b"1"), ("ingest-time", b"45")]
    assert wrap(b"x", headers=headers, topic="retry.enrich")[1]["timestamp"] == 45
    assert wrap(b"x", headers=headers)[1]["timestamp"] == 123, "such a header means nothing elsewhere"


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


def test_headers_that_cannot_be_read_are_left_out_and_the_letter_says_so() -> None:
    headers = [("uid", UID), ("\udcff", b"x")]
    out, letter = wrap(b"body", headers=headers)
    assert (letter["value"], letter["headers"], letter["uid"], out.headers) == (b"body", [], None, [])
    assert letter["detail"] == ("it ends early; and the name of a header is not UTF-8; none of its headers can be read")


def test_a_garbled_header_is_a_dead_letter_before_a_handler_sees_it() -> None:
    class Copy:
        async def process(self, batch: Sequence[Record]) -> Output:
            return Output(forward={"copies": list(batch)})

    cluster = Cluster()
    for topic in ("originals", "copies", "dlq.copy"):
        cluster.create_topic(topic)
    garbled = outgoing("originals", b"2", headers=[("\udcff", b"x")])
    cluster.send([outgoing("originals", b"1"), garbled, outgoing("originals", b"3")])
    drain(cluster, Copy(), "originals", stage="copy")
    assert [one.value() for one in cluster.records("copies")] == [b"1", b"3"]
    assert len(cluster.records("dlq.copy")) == 1
