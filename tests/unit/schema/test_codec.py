"""Framing, strictness, resolution between versions, and bytes from strangers."""

import asyncio
import copy
import struct
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.breaker import BreakerSettings
from penstock.dependency import Dependency
from penstock.errors import DataError, ThrottledError, TransientError
from penstock.metrics import Metrics
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder, frame

EVENT = files.latest("event")
# One event of GH Archive, hour 2015-01-01 00 UTC (CC BY 4.0).
PUSH: dict[str, Any] = {
    "id": "github:2489368070",
    "source": "github",
    "kind": "activity",
    "occurred_at": 1420070400000,
    "ingested_at": 1790000000000,
    "version": None,
    "author": "davidjhulse",
    "title": "davidjhulse/davesbingrewardsbot",
    "text": "Altered BingBot.jar\n\nFixed issue with multiple account support",
    "url": "https://github.com/davidjhulse/davesbingrewardsbot",
    "stated_language": None,
    "location": None,
    "measures": {"size": 1.0, "distinct_size": 1.0},
    "attributes": {"type": "PushEvent", "ref": "refs/heads/master"},
}


class Schemas:
    """A registry of fixed schemas that counts what it is asked."""

    def __init__(self, schemas: Mapping[int, Mapping[str, Any]]) -> None:
        self.schemas = dict(schemas)
        self.asked: list[int] = []

    async def schema(self, schema_id: int) -> Mapping[str, Any]:
        self.asked.append(schema_id)
        if schema_id not in self.schemas:
            raise DataError("unknown-schema", f"no schema {schema_id}")
        return self.schemas[schema_id]


class Hands:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s


def decode(value: bytes | None, writer: Mapping[str, Any] = EVENT, reader: Mapping[str, Any] | str = "event") -> Any:
    decoder = Decoder(Schemas({7: writer}), reader)
    asyncio.run(decoder.prepare([value]))
    return decoder.decode(value)


def reason(value: bytes | None, **schemas: Any) -> str:
    with pytest.raises(DataError) as caught:
        decode(value, **schemas)
    return caught.value.reason


def record_of(*fields: Mapping[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


CODEC = Codec(7, EVENT)
FRAMED = CODEC.encode(PUSH)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_record_survives_the_round_trip_with_times_as_ints() -> None:
    assert decode(FRAMED) == PUSH


def test_the_value_is_confluent_framed_avro() -> None:
    body = BytesIO()
    stripped = copy.deepcopy(EVENT)
    fastavro.schemaless_writer(body, fastavro.parse_schema(stripped), PUSH)
    assert b"\0" + struct.pack(">I", 7) + body.getvalue() == FRAMED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "tombstone"),
        (b"", "empty-value"),
        (b'{"id": 1}', "bad-magic"),
        (b"\x01" + FRAMED[1:], "bad-magic"),
        (b"\0\0\0", "truncated"),
        (b"\0\0\0\0\x07", "truncated"),
        (FRAMED[:-1], "truncated"),
        (FRAMED[:40], "truncated"),
        (FRAMED + b"\0", "trailing-bytes"),
        (frame(8) + FRAMED[5:], "unknown-schema"),
        (frame(7) + b"\x02\xff" + FRAMED[7:], "undecodable"),
    ],
)
def test_each_way_of_being_broken_has_its_own_reason(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


def test_every_record_cut_short_is_truncated() -> None:
    for size in range(5, len(FRAMED)):
        assert reason(FRAMED[:size]) in {"truncated", "undecodable"}
    assert {reason(FRAMED[:size]) for size in range(5, 30)} == {"truncated"}


def test_a_decoder_asks_for_a_schema_once() -> None:
    schemas = Schemas({7: EVENT})
    decoder = Decoder(schemas, "event")
    for _ in range(3):
        asyncio.run(decoder.prepare([FRAMED, FRAMED, None, b""]))
        decoder.decode(FRAMED)
    assert schemas.asked == [7]


def test_an_unknown_schema_is_asked_for_again_after_a_minute() -> None:
    schemas, clock = Schemas({}), Hands()
    decoder = Decoder(schemas, "event", clock=clock)
    for clock.at_s in (0.0, 59.0, 60.0):
        asyncio.run(decoder.prepare([FRAMED]))
    assert schemas.asked == [7, 7]
    schemas.schemas[7] = EVENT
    clock.at_s = 120.0
    asyncio.run(decoder.prepare([FRAMED]))
    assert decoder.decode(FRAMED) == PUSH


def test_a_registry_that_is_away_is_not_a_data_error() -> None:
    class Away:
        async def schema(self, schema_id: int) -> Mapping[str, Any]:
            raise TransientError("the registry does not answer")

    with pytest.raises(TransientError):
        asyncio.run(Decoder(Away(), "event").prepare([FRAMED]))


def test_a_registry_that_is_away_is_asked_about_one_schema_and_not_about_each_of_them() -> None:
    asked: list[int] = []

    class Away:
        async def schema(self, schema_id: int) -> Mapping[str, Any]:
            asked.append(schema_id)
            await asyncio.sleep(0)
            raise TransientError("the registry does not answer")

    with pytest.raises(TransientError):
        asyncio.run(Decoder(Away(), "event").prepare([frame(number) for number in range(500)]))
    assert len(asked) == 1


def test_a_registry_that_was_left_alone_is_found_again_however_many_schemas_are_lacking() -> None:
    """Half-open, its circuit lets one question through; the others must not take that one down with them."""
    clock = Hands()
    registry = Dependency("enrich", "registry", BreakerSettings(failures=1, open_s=1.0), clock, Metrics())
    schemas = Schemas(dict.fromkeys(range(50), EVENT))
    away = True

    class Guarded:
        async def schema(self, schema_id: int) -> Mapping[str, Any]:
            async with registry.attempt():
                await asyncio.sleep(0)
                if away:
                    raise TransientError("the registry does not answer")
                return await schemas.schema(schema_id)

    decoder, values = Decoder(Guarded(), "event"), [frame(number) for number in range(50)]
    with pytest.raises(ThrottledError):
        asyncio.run(decoder.prepare(values))
    away, clock.at_s = False, 1.0
    asyncio.run(decoder.prepare(values))
    assert not decoder.lacks(values)


def test_of_many_unknown_schemas_so_many_are_asked_for_at_a_time_until_none_is_lacking() -> None:
    schemas = Schemas({7: EVENT})
    decoder, values = Decoder(schemas, "event", clock=Hands()), [frame(number) for number in range(500)]
    turns = 0
    while decoder.lacks(values):
        asyncio.run(decoder.prepare(values, at_most=100))
        turns += 1
    assert (turns, len(schemas.asked)) == (5, 500)
    assert decoder.decode(FRAMED) == PUSH


def test_a_newer_writer_with_one_more_optional_field_is_read() -> None:
    newer = copy.deepcopy(EVENT)
    newer["fields"].insert(3, {"name": "mood", "type": ["null", {"type": "map", "values": "long"}], "default": None})
    value = Codec(7, newer).encode({**PUSH, "mood": {"calm": 3}})
    assert decode(value, writer=newer) == PUSH


def test_an_older_writer_is_read_with_the_readers_defaults_made_anew() -> None:
    newer = copy.deepcopy(EVENT)
    newer["fields"].append({"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["none"]})
    decoder = Decoder(Schemas({7: EVENT}), newer)
    asyncio.run(decoder.prepare([FRAMED]))
    first = decoder.decode(FRAMED)
    first["tags"].append("changed")
    assert decoder.decode(FRAMED) == {**PUSH, "tags": ["none"]}


def test_a_kind_that_only_newer_writers_know_is_read_as_other() -> None:
    newer = copy.deepcopy(EVENT)
    newer["fields"][2]["type"]["symbols"].append("rumour")
    value = Codec(7, newer).encode({**PUSH, "kind": "rumour"})
    assert decode(value, writer=newer)["kind"] == "other"


def test_a_record_of_another_schema_is_refused_by_name() -> None:
    cursor = {"source": "github", "updated_at": 0}
    value = Codec(7, files.latest("cursor")).encode(cursor)
    assert reason(value, writer=files.latest("cursor")) == "incompatible-schema"


def test_a_schema_that_refers_to_itself_is_refused() -> None:
    tree = record_of({"name": "next", "type": ["null", "R"]})
    assert reason(frame(7) + b"\2" * 100_000 + b"\0", writer=tree, reader=record_of()) == "incompatible-schema"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": "\ud800"}, "text"),
        ({"attributes": {"\udfff": "x"}}, "attributes"),
        ({"attributes": {"x": 1}}, "attributes.x"),
        ({"occurred_at": 1 << 63}, "occurred_at"),
        ({"occurred_at": -(1 << 63) - 1}, "occurred_at"),
        ({"occurred_at": 1.5}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
        ({"measures": {"x": 10**400}}, "measures.x"),
        ({"measures": {"x": "1"}}, "measures.x"),
        ({"measures": []}, "measures"),
        ({"kind": "rumour"}, "kind"),
        ({"kind": []}, "kind"),
        ({"id": b"github:1"}, "id"),
        ({"id": None}, "id"),
        ({"location": {"latitude": "north"}}, "location.latitude"),
        ({"location": {"lat": 1.0}}, "location.lat"),
        ({"location": 5}, "location"),
        ({"stated_langauge": "en"}, "stated_langauge"),
    ],
)
def test_what_cannot_be_written_is_a_data_error_that_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError) as caught:
        Codec(7, EVENT).encode({**PUSH, **change})
    assert (caught.value.reason, caught.value.field) == ("invalid-record", field)


@pytest.mark.parametrize("value", ["abc", {"a": 1}, b"abc", None, 3])
def test_only_a_list_is_written_as_an_array(value: Any) -> None:
    with pytest.raises(DataError, match="a must be array of string"):
        Codec(7, array_of("string")).encode({"a": value})


def test_a_misspelt_optional_field_is_not_dropped_in_silence() -> None:
    misspelt = {name: value for name, value in PUSH.items() if name != "author"} | {"auhtor": "davidjhulse"}
    with pytest.raises(DataError, match="auhtor"):
        Codec(7, EVENT).encode(misspelt)


def test_a_missing_required_field_is_named() -> None:
    with pytest.raises(DataError, match="the field source is missing"):
        Codec(7, EVENT).encode({name: value for name, value in PUSH.items() if name != "source"})


def test_fields_with_a_default_may_be_left_out() -> None:
    required = {name: PUSH[name] for name in ("id", "source", "kind", "occurred_at", "ingested_at")}
    read = decode(Codec(7, EVENT).encode(required))
    assert read == {**dict.fromkeys(PUSH), **required, "measures": {}, "attributes": {}}


@pytest.mark.parametrize("value", [-(1 << 31) - 1, 1 << 31, 1 << 40])
def test_an_int_beyond_32_bits_is_neither_written_nor_read(value: int) -> None:
    narrow, wide = record_of({"name": "n", "type": "int"}), record_of({"name": "n", "type": "long"})
    with pytest.raises(DataError, match="invalid-record"):
        Codec(7, narrow).encode({"n": value})
    assert reason(Codec(7, wide).encode({"n": value}), writer=narrow, reader=wide) == "undecodable"


def array_of(items: Any) -> dict[str, Any]:
    return record_of({"name": "a", "type": {"type": "array", "items": items}})


@pytest.mark.parametrize(
    "items",
    ["boolean", "int", "double", "float", "string", "bytes", ["null", "string"], {"type": "map", "values": "null"},
     {"type": "fixed", "name": "F", "size": 16}, {"type": "enum", "name": "E", "symbols": ["a"]}],
)  # fmt: skip
@pytest.mark.parametrize("read", [True, False])
def test_a_forged_length_ends_at_once(items: Any, read: bool) -> None:
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # 2**63 - 1
    bodies = [huge, huge + b"\0" * 50, huge + huge, b"\x01" + huge + huge, b"\xff" * 9 + b"\x01" + huge + b"\0" * 20]
    start = time.process_time()
    for body in bodies:
        assert reason(frame(7) + body, writer=array_of(items), reader=array_of(items) if read else record_of()) in {
            "truncated", "undecodable", "trailing-bytes"}  # fmt: skip
    assert time.process_time() - start < 2


def test_an_array_whose_items_take_no_bytes_is_refused() -> None:
    for items in ("null", {"type": "record", "name": "Nothing", "fields": []}):
        assert reason(frame(7) + b"\0", writer=array_of(items), reader=record_of()) == "incompatible-schema"


def test_a_negative_length_does_not_turn_the_reader_back() -> None:
    texts = array_of("string")
    # Five billion texts, each of which would end two bytes before it begins: the reader would never leave.
    body = b"\xfe\xff\xff\xff\x0f" + b"\x03" * 8
    assert reason(frame(7) + body, writer=texts, reader=texts) == "undecodable"
    assert reason(frame(7) + body, writer=texts, reader=record_of()) == "undecodable"


@pytest.mark.parametrize(("byte", "expected"), [(b"\0", False), (b"\1", True)])
def test_a_boolean_is_one_byte_of_0_or_1(byte: bytes, expected: bool) -> None:
    flag = record_of({"name": "b", "type": "boolean"})
    assert decode(frame(7) + byte, writer=flag, reader=flag) == {"b": expected}
    assert reason(frame(7) + b"\2", writer=flag, reader=flag) == "undecodable"


def test_a_union_and_an_enum_have_no_place_beyond_their_last() -> None:
    choice = record_of({"name": "c", "type": ["null", "int"]})
    letter = record_of({"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["a", "b"]}})
    for byte in (b"\4", b"\1", b"\x03", b"\x7f"):
        assert reason(frame(7) + byte + b"\0", writer=choice, reader=choice) == "undecodable"
        assert reason(frame(7) + byte, writer=letter, reader=letter) == "undecodable"
    assert decode(frame(7) + b"\2", writer=letter, reader=letter) == {"e": "b"}


def test_a_number_without_an_end_is_not_read_to_its_end() -> None:
    start = time.process_time()
    assert reason(frame(7) + b"\xff" * 2_000_000) == "undecodable"
    assert time.process_time() - start < 2


@unhurried
@given(
    st.lists(st.tuples(st.integers(5, len(FRAMED) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(FRAMED)),
    st.binary(max_size=12),
)
@example([], 0, b"\xff" * 12)
def test_mutated_bytes_decode_or_are_a_data_error(edits: list[tuple[int, int]], cut: int, tail: bytes) -> None:
    value = bytearray(FRAMED)
    for position, byte in edits:
        value[position] = byte
    forged = bytes(value[: 5 + cut]) + tail
    decoder = Decoder(Schemas({7: EVENT}), "event")
    asyncio.run(decoder.prepare([FRAMED]))
    refused = None
    try:
        decoder.decode(forged)
    except DataError as error:
        refused = error.reason
    assert refused in {None, "truncated", "trailing-bytes", "undecodable", "unknown-schema", "bad-magic"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@unhurried
@given(st.dictionaries(st.sampled_from([*PUSH, "more"]), anything, max_size=4))
def test_whatever_is_written_is_read_again_or_is_a_data_error(changes: dict[str, Any]) -> None:
    try:
        value = CODEC.encode({**PUSH, **changes})
    except DataError:
        return
    decode(value)
