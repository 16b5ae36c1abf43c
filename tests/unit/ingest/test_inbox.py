"""events.inbox: what comes as a good event goes on, everything else is a dead letter with its reason."""

from typing import Any

import pytest

from penstock.errors import DataError, TransientError
from penstock.event_input import parse_event
from penstock.fingerprint import Fingerprinter
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder
from penstock.stream.handler import Output
from penstock.stream.port import Headers
from services.ingest.inbox import Inbox
from tests.unit.ingest.building import KEY, NOW_MS, HandClock, acceptor, event_of, posted

EVENT_ID, NEWER_ID, OTHER_ID = 7, 8, 9


def newer_schema() -> dict[str, Any]:
    schema = dict(files.latest("event"))
    schema["fields"] = [*schema["fields"], {"name": "mood", "type": ["null", "string"], "default": None}]
    return schema


class Schemas:
    """A registry of three schemas, which can be away."""

    def __init__(self) -> None:
        self.away = False

    async def schema(self, schema_id: int) -> Any:
        if self.away:
            raise TransientError("the registry is away")
        known = {EVENT_ID: files.latest("event"), NEWER_ID: newer_schema(), OTHER_ID: files.latest("cursor")}
        if schema_id not in known:
            raise DataError("unknown-schema", "nobody registered it")
        return known[schema_id]


class Rec:
    def __init__(self, value: bytes | None, headers: Headers | None = None) -> None:
        self._value, self._headers = value, headers

    def topic(self) -> str:
        return "events.inbox"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def key(self) -> bytes | None:
        return b"any key"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_000


def framed(schema_id: int = EVENT_ID, **fields: Any) -> bytes:
    event = parse_event(posted(), NOW_MS - 5).to_record() | fields
    schema = newer_schema() if schema_id == NEWER_ID else files.latest("event")
    return Codec(schema_id, schema).encode(event)


def inbox(schemas: Schemas | None = None) -> Inbox:
    return Inbox(Decoder(schemas or Schemas(), "event"), acceptor(), HandClock())


async def processed(handler: Inbox, batch: list[Rec]) -> Output:
    """As the loop does it."""
    while handler.must_ask(batch):
        await handler.ask(batch)
    return await handler.process(batch)


async def test_an_event_goes_on_with_what_only_ingest_sets() -> None:
    output = await processed(inbox(), [Rec(framed(ingested_at=1), [("uid", b"forged"), ("source", b"forged")])])
    assert not output.dead
    (record,) = output.send
    headers = dict(record.headers)
    assert record.topic == "events.raw"
    assert record.timestamp_ms == NOW_MS
    assert event_of(record).ingested_at == NOW_MS
    assert record.key == Fingerprinter(KEY).of(event_of(record))
    assert headers["source"] == b"shop"
    assert len(headers["uid"] or b"") == 16
    assert len(record.headers) == len(headers) == 5


async def test_a_newer_writers_field_is_left_out() -> None:
    output = await processed(inbox(), [Rec(framed(NEWER_ID, mood="good"))])
    assert not output.dead
    assert event_of(output.send[0]).id == "shop:1"


async def test_a_huge_header_does_not_go_on() -> None:
    output = await processed(inbox(), [Rec(framed(), [("x", b"x" * 900_000), ("traceparent", b"y" * 900_000)])])
    assert sum(len(name) + len(value or b"") for name, value in output.send[0].headers) < 200


GOOD = framed()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty-value"),
        (b'{"id": "1"}', "bad-magic"),
        (b"\1" + GOOD[1:], "bad-magic"),
        (GOOD[:4], "truncated"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"\0", "trailing-bytes"),
        (b"\0\0\0\x99\x99" + GOOD[5:], "unknown-schema"),
        (b"\0\0\0\0" + bytes([OTHER_ID]) + GOOD[5:], "incompatible-schema"),
        (framed(text="a\0b"), "nul-character"),
        (framed(measures={"a": float("nan")}), "not-finite"),
        (framed(measures={"a": float("inf")}), "not-finite"),
        (framed(source=""), "empty"),
        (framed(id=""), "empty"),
        (framed(occurred_at=-1), "out-of-range"),
        (framed(occurred_at=253_402_300_799_999), "out-of-range"),
        (framed(text="x" * 1_100_000), "too-large"),
    ],
)
async def test_anything_else_is_a_dead_letter_and_stops_nothing(value: bytes | None, reason: str) -> None:
    bad, good = Rec(value), Rec(GOOD)
    output = await processed(inbox(), [good, bad, good])
    assert [dead.record for dead in output.dead] == [bad]
    assert output.dead[0].error.reason == reason
    assert len(output.send) == 2


async def test_without_the_registry_the_batch_is_given_again() -> None:
    schemas = Schemas()
    schemas.away = True
    handler = inbox(schemas)
    with pytest.raises(TransientError):
        await processed(handler, [Rec(GOOD)])
    schemas.away = False
    assert len((await processed(handler, [Rec(GOOD)])).send) == 1
