"""What gets in, and what does not: each bad input with the reason and the field that it is told."""

import io
import json
import math
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.event import KINDS, MAX_EVENT_BYTES, Event, Location, encoded_size_bytes
from penstock.event_input import (
    MAX_AUTHOR_CHARS,
    MAX_ENTRIES,
    MAX_FUTURE_MS,
    MAX_ID_CHARS,
    MAX_LANGUAGE_CHARS,
    MAX_NAME_CHARS,
    MAX_PLACE_CHARS,
    MAX_SOURCE_CHARS,
    MAX_TITLE_CHARS,
    MAX_URL_CHARS,
    MAX_VERSION_CHARS,
    parse_event,
)
from tests.unit.event_of_record import event_of_record

NOW_MS = 1_763_700_000_000
SCHEMA = fastavro.schema.load_schema(str(Path(__file__).resolve().parents[2] / "schemas/avro/event.v1.avsc"))


def posted(**fields: Any) -> dict[str, Any]:
    return {"source": "shop", "id": "42", "kind": "post", "occurred_at": 1_420_070_400_000, **fields}


def taken(obj: object) -> None:
    assert parse_event(obj, NOW_MS).ingested_at == NOW_MS


def refusal(obj: object) -> tuple[str, str | None]:
    with pytest.raises(DataError) as caught:
        parse_event(obj, NOW_MS)
    assert caught.value.detail
    caught.value.detail.encode()  # it goes into a dead letter
    return caught.value.reason, caught.value.field


def test_an_event_of_all_fields_is_taken_as_it_is() -> None:
    event = parse_event(
        posted(
            occurred_at="2015-01-01T01:00:00.25+01:00",
            version="3",
            author="ann",
            title="Größe",
            text="日本語\nand more",
            url="https://example.org/?a=1",
            stated_language="ja",
            location={"latitude": 52.5, "longitude": 13, "name": "Berlin"},
            measures={"price": 3, "weight": 0.5},
            attributes={"colour": "red"},
        ),
        NOW_MS,
    )
    assert event == Event(
        id="shop:42",
        source="shop",
        kind="post",
        occurred_at=1_420_070_400_250,
        ingested_at=NOW_MS,
        version="3",
        author="ann",
        title="Größe",
        text="日本語\nand more",
        url="https://example.org/?a=1",
        stated_language="ja",
        location=Location(52.5, 13.0, "Berlin"),
        measures={"price": 3.0, "weight": 0.5},
        attributes={"colour": "red"},
    )


def test_an_id_with_its_sources_prefix_is_the_same_id() -> None:
    assert parse_event(posted(id="shop:42"), NOW_MS) == parse_event(posted(id="42"), NOW_MS)


def test_null_stands_for_absent() -> None:
    nulls = dict.fromkeys(("version", "title", "text", "url", "author", "location", "measures", "attributes"))
    assert parse_event(posted(**nulls), NOW_MS) == parse_event(posted(), NOW_MS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_taken(kind: str) -> None:
    assert parse_event(posted(kind=kind), NOW_MS).kind == kind


@pytest.mark.parametrize("obj", [None, 1, True, "text", [], [{"id": "1"}], 1.5])
def test_what_is_no_object_is_refused(obj: object) -> None:
    assert refusal(obj) == ("wrong-type", None)


@pytest.mark.parametrize("name", ["id", "source", "kind", "occurred_at"])
def test_a_missing_field_is_named(name: str) -> None:
    assert refusal({key: value for key, value in posted().items() if key != name}) == ("missing-field", name)
    assert refusal(posted(**{name: None})) == ("missing-field", name)


def test_an_unknown_field_is_refused_by_name() -> None:
    assert refusal(posted(titel="x")) == ("unknown-field", "titel")


def test_a_hostile_field_name_is_shown_in_ascii_and_short() -> None:
    reason, field = refusal(posted(**{"\0\ud800" + "x" * 1000: 1}))
    assert reason == "unknown-field"
    assert field is not None
    assert field.isascii()
    assert len(field) <= 64


def test_nobody_but_ingest_sets_the_ingest_time() -> None:
    assert refusal(posted(ingested_at=NOW_MS)) == ("unknown-field", "ingested_at")


@pytest.mark.parametrize(
    "name", ["id", "source", "kind", "version", "author", "title", "text", "url", "stated_language"]
)
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}])
def test_a_text_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    assert refusal(posted(**{name: value})) == ("wrong-type", name)


@pytest.mark.parametrize("name", ["id", "author", "title", "text", "url", "version", "stated_language"])
def test_a_nul_is_refused_since_postgres_cannot_store_it(name: str) -> None:
    assert refusal(posted(**{name: "a\0b"})) == ("nul-character", name)


@pytest.mark.parametrize("name", ["id", "author", "title", "text", "url", "version", "stated_language"])
def test_a_lone_surrogate_is_refused_since_it_is_no_character(name: str) -> None:
    for half in ("\ud800", "\udfff"):
        assert refusal(posted(**{name: f"a{half}b"})) == ("lone-surrogate", name)


def test_nul_and_surrogates_are_refused_inside_attributes_too() -> None:
    assert refusal(posted(attributes={"a": "\0"})) == ("nul-character", "attributes.a")
    assert refusal(posted(attributes={"\0": "a"}))[0] == "nul-character"
    assert refusal(posted(attributes={"a": "\ud800"})) == ("lone-surrogate", "attributes.a")
    assert refusal(posted(measures={"\ud800": 1}))[0] == "lone-surrogate"
    assert refusal(posted(location={"name": "\0"})) == ("nul-character", "location.name")


@pytest.mark.parametrize("source", ["", " ", "a b", "a/b", "a:b", "-a", ".a", "ä", "a\n", "../x"])
def test_a_source_that_could_not_be_a_path_is_refused(source: str) -> None:
    assert refusal(posted(source=source)) in [("not-allowed", "source"), ("empty", "source")]


def test_nobody_may_claim_the_name_of_records_without_a_source() -> None:
    assert refusal(posted(source="unknown")) == ("not-allowed", "source")


def test_an_empty_id_is_refused() -> None:
    assert refusal(posted(id="")) == ("empty", "id")


def test_a_kind_that_does_not_exist_is_refused() -> None:
    assert refusal(posted(kind="Post")) == ("not-allowed", "kind")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("id", MAX_ID_CHARS),
        ("version", MAX_VERSION_CHARS),
        ("author", MAX_AUTHOR_CHARS),
        ("title", MAX_TITLE_CHARS),
        ("url", MAX_URL_CHARS),
        ("stated_language", MAX_LANGUAGE_CHARS),
    ],
)
def test_a_text_may_be_as_long_as_its_limit_and_no_longer(name: str, limit: int) -> None:
    taken(posted(**{name: "x" * limit}))
    assert refusal(posted(**{name: "x" * (limit + 1)})) == ("too-long", name)


def test_the_limits_of_sources_places_and_names() -> None:
    taken(posted(source="s" * MAX_SOURCE_CHARS))
    assert refusal(posted(source="s" * (MAX_SOURCE_CHARS + 1))) == ("too-long", "source")
    taken(posted(location={"name": "p" * MAX_PLACE_CHARS}))
    assert refusal(posted(location={"name": "p" * (MAX_PLACE_CHARS + 1)})) == ("too-long", "location.name")
    taken(posted(attributes={"n" * MAX_NAME_CHARS: ""}))
    assert refusal(posted(attributes={"n" * (MAX_NAME_CHARS + 1): ""}))[0] == "too-long"


@pytest.mark.parametrize("name", ["measures", "attributes"])
def test_the_number_of_entries_is_limited(name: str) -> None:
    value: object = 1.5 if name == "measures" else "x"
    taken(posted(**{name: {str(i): value for i in range(MAX_ENTRIES)}}))
    assert refusal(posted(**{name: {str(i): value for i in range(MAX_ENTRIES + 1)}})) == ("too-many", name)


def test_five_megabytes_of_text_are_too_large() -> None:
    assert refusal(posted(text="x" * 5_000_000)) == ("too-large", "text")


def test_an_event_may_be_as_large_as_the_limit_in_utf8_and_no_larger() -> None:
    room = MAX_EVENT_BYTES - encoded_size_bytes(parse_event(posted(text="x" * 1_000_000), NOW_MS)) + 1_000_000
    assert encoded_size_bytes(parse_event(posted(text="x" * room), NOW_MS)) == MAX_EVENT_BYTES
    assert refusal(posted(text="x" * (room + 1))) == ("too-large", "text")
    assert refusal(posted(text="€" * (room // 3 + 1))) == ("too-large", "text")


def test_many_large_attributes_together_are_too_large() -> None:
    assert refusal(posted(attributes={str(i): "x" * 10_000 for i in range(200)})) == ("too-large", None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_nan_and_infinity_are_refused(value: float) -> None:
    assert refusal(posted(measures={"price": value})) == ("not-finite", "measures.price")
    assert refusal(posted(location={"latitude": value, "longitude": 1})) == ("not-finite", "location.latitude")


def test_nan_and_infinity_are_no_json_in_the_first_place() -> None:
    for token in (b"NaN", b"Infinity", b"-Infinity", b"1e400"):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(b'{"measures": {"price": ' + token + b"}}")


@pytest.mark.parametrize("value", ["1", True, None, [], {}])
def test_a_measure_that_is_no_number_is_refused(value: object) -> None:
    assert refusal(posted(measures={"price": value})) == ("wrong-type", "measures.price")


@pytest.mark.parametrize("value", [1, True, None, [], {}])
def test_an_attribute_that_is_no_text_is_refused(value: object) -> None:
    assert refusal(posted(attributes={"colour": value})) == ("wrong-type", "attributes.colour")


@pytest.mark.parametrize("name", ["location", "measures", "attributes"])
@pytest.mark.parametrize("value", [1, "x", [], True])
def test_what_must_be_an_object_and_is_none_is_refused(name: str, value: object) -> None:
    assert refusal(posted(**{name: value})) == ("wrong-type", name)


def test_places_off_the_globe_are_refused() -> None:
    assert refusal(posted(location={"latitude": 90.1, "longitude": 0})) == ("out-of-range", "location.latitude")
    assert refusal(posted(location={"latitude": 0, "longitude": -180.1})) == ("out-of-range", "location.longitude")
    assert refusal(posted(location={"latitude": 1})) == ("missing-field", "location")
    assert refusal(posted(location={"lat": 1})) == ("unknown-field", "location.lat")


@pytest.mark.parametrize(
    "value",
    [
        "0000-01-01T00:00:00Z",
        "yesterday",
        "",
        "2015-01-01",
        "2015-02-30T00:00:00Z",
        "2015-01-01T00:00:00",
        "1420070400000",
    ],
)
def test_what_is_no_date_is_refused(value: str) -> None:
    assert refusal(posted(occurred_at=value)) == ("bad-time", "occurred_at")


@pytest.mark.parametrize(
    "value",
    ["9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", -1, 2**62, 253_402_300_799_999, 10**30],
)
def test_a_date_before_1970_or_in_9999_is_refused(value: object) -> None:
    assert refusal(posted(occurred_at=value)) == ("out-of-range", "occurred_at")


@pytest.mark.parametrize("value", [1.5, 1420070400000.0, True, [], {}])
def test_a_time_of_the_wrong_type_is_refused(value: object) -> None:
    assert refusal(posted(occurred_at=value)) == ("wrong-type", "occurred_at")


def test_the_time_may_lie_a_day_ahead_and_no_more() -> None:
    taken(posted(occurred_at=NOW_MS + MAX_FUTURE_MS))
    assert refusal(posted(occurred_at=NOW_MS + MAX_FUTURE_MS + 1)) == ("out-of-range", "occurred_at")
    assert parse_event(posted(occurred_at=0), NOW_MS).occurred_at == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["id", "source", "kind", "occurred_at", "version", "title", "text", "url", "location", "measures", "attributes"]
)


@given(st.dictionaries(field_names, json_values))
def test_whatever_comes_is_an_event_that_can_be_encoded_or_a_data_error(fields: dict[str, Any]) -> None:
    try:
        event = parse_event(posted(**fields), NOW_MS)
    except DataError:
        return
    assert encoded_size_bytes(event) == len(avro(event)) + 5


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
events = st.builds(
    Event,
    id=texts,
    source=texts,
    kind=st.sampled_from(KINDS),
    occurred_at=st.integers(0, 2**45),
    ingested_at=st.integers(0, 2**45),
    version=st.none() | texts,
    text=st.none() | texts,
    title=st.none() | texts,
    location=st.none()
    | st.builds(Location, latitude=st.none() | st.floats(-90, 90), longitude=st.none(), name=st.none() | texts),
    measures=st.dictionaries(texts, st.floats(allow_nan=False), max_size=130),
    attributes=st.dictionaries(texts, texts, max_size=5),
)


def avro(event: Event) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, event.to_record())
    return out.getvalue()


@given(events)
def test_the_size_is_known_before_it_is_encoded(event: Event) -> None:
    assert encoded_size_bytes(event) == len(avro(event)) + 5


@given(events)
def test_an_event_comes_back_from_its_record(event: Event) -> None:
    assert event_of_record(event.to_record()) == event


def test_the_records_fields_are_those_of_the_schema() -> None:
    schema = json.loads((Path(__file__).resolve().parents[2] / "schemas/avro/event.v1.avsc").read_text())
    assert list(parse_event(posted(), NOW_MS).to_record()) == [field["name"] for field in schema["fields"]]
    kind = next(field["type"] for field in schema["fields"] if field["name"] == "kind")
    assert tuple(kind["symbols"]) == KINDS
