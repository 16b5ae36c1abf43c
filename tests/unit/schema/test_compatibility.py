"""What may change between versions, and what the checks say when it may not."""

import asyncio
import itertools
import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.cli.main import main
from penstock.errors import PermanentError
from penstock.schema import files
from penstock.schema.avro import SchemaError, parse, parse_record
from penstock.schema.check import check_files
from penstock.schema.codec import Codec, Decoder
from penstock.schema.compatibility import check_history, problems
from tests.unit.schema.test_codec import Schemas


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(type_: Any, **more: Any) -> dict[str, Any]:
    return {"name": "f", "type": type_, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def found(reader: Any, writer: Any) -> list[str]:
    return problems(parse(reader), parse(writer))


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        ("long", "int"),
        ("double", "float"),
        ("double", "long"),
        ("bytes", "string"),
        (["null", "long"], "int"),
        (["null", "string"], ["string", "null"]),
        (record(field("int", default=3)), record()),
        (record(), record(field("int"))),
        (record(field("int", aliases=["old"])), record({"name": "old", "type": "int"})),
        (record(name="a.R"), record(name="b.R")),
        (record(name="New") | {"aliases": ["R"]}, record()),
        (enum("a", "b"), enum("a")),
        (enum("a", default="a"), enum("a", "b")),
        ({"type": "map", "values": "double"}, {"type": "map", "values": "int"}),
        ({"type": "array", "items": ["null", "string"]}, {"type": "array", "items": "string"}),
    ],
)
def test_what_can_be_read(reader: Any, writer: Any) -> None:
    assert found(reader, writer) == []


@pytest.mark.parametrize(
    ("reader", "writer", "message"),
    [
        ("int", "long", "long cannot be read as int"),
        ("string", "int", "int cannot be read as string"),
        ("string", ["null", "string"], "null cannot be read as string"),
        (["null", "int"], "long", "long cannot be read as null or int"),
        (record(field("int")), record(), "f: added without a default"),
        (record(field("int")), record(field("string")), "f: string cannot be read as int"),
        (record(name="Other"), record(), "the name Other does not match R"),
        (enum("a"), enum("a", "b"), "enum E lacks b and has no default"),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, "[]: long cannot be read as int"),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, "{}: long cannot be read as int"),
        ({"type": "fixed", "name": "F", "size": 8}, {"type": "fixed", "name": "F", "size": 16}, "cannot be read"),
        ([record(field("int")), "null"], record(), "f: added without a default"),
        ("null", record(), "record R cannot be read as null"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_path(reader: Any, writer: Any, message: str) -> None:
    assert message in found(reader, writer)[0]


def test_a_version_must_read_every_earlier_one_not_just_the_last() -> None:
    first, second = record(field("string")), record()
    third = record(field("int", default=0))
    assert check_history([first, second]) == []
    assert check_history([second, third]) == []
    assert check_history([first, second, third]) == ["v3 cannot read what v1 wrote: f: string cannot be read as int"]


@pytest.mark.parametrize(
    "schema",
    [
        "nothing",
        7,
        [],
        ["null", "null"],
        ["null", ["int"]],
        {"type": "record", "name": "R"},
        {"type": "record", "name": "1R", "fields": []},
        {"type": "record", "fields": []},
        record(field("int"), field("int")),
        record(field("int", default="1")),
        record(field("int", default=1 << 31)),
        record(field(["null", "int"], default=1)),
        record(field("R")),
        enum(),
        enum("a", "a"),
        enum("a", default="b"),
        enum("no-name"),
        {"type": "fixed", "name": "F", "size": 0},
        {"type": "fixed", "name": "F", "size": "8"},
        {"type": "array"},
        {"type": "array", "items": "null"},
        {"type": {"type": {"type": "missing"}}},
    ],
)
def test_a_schema_that_is_not_valid_is_an_error(schema: Any) -> None:
    with pytest.raises(SchemaError):
        parse(schema)


def test_a_schema_nested_without_end_is_an_error() -> None:
    deep: Any = "int"
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    with pytest.raises(SchemaError, match="nested deeper"):
        parse(deep)


primitives = st.sampled_from(["boolean", "int", "long", "float", "double", "bytes", "string"])
enums = st.lists(st.sampled_from("abcd"), min_size=1, unique=True).map(lambda names: enum(*names))


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            inner.map(lambda t: {"type": "array", "items": t})
            | inner.map(lambda t: {"type": "map", "values": t})
            | inner.map(lambda t: t if isinstance(t, list) else ["null", t])
        ),
        max_leaves=3,
    )


types, skippable = nested(primitives | enums), nested(primitives)


def sample(type_: Any) -> st.SearchStrategy[Any]:
    match type_:
        case "boolean":
            return st.booleans()
        case "int":
            return st.integers(-(1 << 31), (1 << 31) - 1)
        case "long":
            return st.integers(-(1 << 63), (1 << 63) - 1)
        case "float":
            return st.floats(width=32, allow_nan=False)
        case "double":
            return st.floats(allow_nan=False)
        case "bytes":
            return st.binary(max_size=200)
        case "string":
            return st.text(max_size=200)
        case ["null", inner]:
            return st.none() | sample(inner)
        case {"type": "enum", "symbols": symbols}:
            return st.sampled_from(symbols)
        case {"type": "array", "items": items}:
            return st.lists(sample(items), max_size=4)
        case {"type": "map", "values": values}:
            return st.dictionaries(st.text(max_size=5), sample(values), max_size=4)
    raise AssertionError(type_)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


@unhurried
@given(st.data())
def test_fastavro_reads_what_we_write_and_we_read_what_it_writes(data: st.DataObject) -> None:
    schema = record(field(data.draw(types)))
    value = {"f": data.draw(sample(schema["fields"][0]["type"]))}
    ours = Codec(1, schema).encode(value)
    assert fastavro_written(schema, value) == ours[5:]
    decoder = Decoder(Schemas({1: schema}), schema)
    asyncio.run(decoder.prepare([ours]))
    assert decoder.decode(ours) == value


@unhurried
@given(st.data())
def test_what_is_called_compatible_is_read_as_fastavro_reads_it(data: st.DataObject) -> None:
    kept, gone = data.draw(types), data.draw(skippable)
    writer = record({"name": "gone", "type": gone}, field(kept))
    reader = record(field(data.draw(types | st.just(kept))))
    value = {"f": data.draw(sample(kept)), "gone": data.draw(sample(gone))}
    if problems(parse_record(reader), parse_record(writer)):
        return
    framed = Codec(1, writer).encode(value)
    decoder = Decoder(Schemas({1: writer}), reader)
    asyncio.run(decoder.prepare([framed]))
    try:
        expected = fastavro_read(writer, reader, framed[5:])
    except UnicodeDecodeError:
        return  # bytes read as a string
    assert decoder.decode(framed) == expected


def fastavro_written(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def fastavro_read(writer: Any, reader: Any, body: bytes) -> Any:
    written, read = (fastavro.parse_schema(json.loads(json.dumps(schema))) for schema in (writer, reader))
    return fastavro.schemaless_reader(BytesIO(body), written, read)


def test_the_schemas_of_penstock_are_compatible_with_all_their_versions() -> None:
    assert check_files() == (7, [])


def test_every_optional_field_has_a_default_and_every_field_says_what_it_is() -> None:
    for name in files.records():
        for declared in files.latest(name)["fields"]:
            assert declared["doc"], f"{name}.{declared['name']}"
            optional = isinstance(declared["type"], list)
            container = isinstance(declared["type"], dict) and declared["type"]["type"] in ("map", "array")
            assert ("default" in declared) >= (optional or container), f"{name}.{declared['name']}"


def test_each_event_schema_only_adds_to_the_one_before() -> None:
    fields = [files.latest(name)["fields"] for name in ("event", "enriched_event", "scored_event")]
    for narrow, wide in itertools.pairwise(fields):
        assert wide[: len(narrow)] == narrow
        assert all("default" in added for added in wide[len(narrow) :])


@pytest.fixture
def incompatible(tmp_path: Path) -> Path:
    """The schemas, with a v2 of Event that asks for a field no v1 has."""
    shutil.copytree(files.schemas_folder(), tmp_path / "schemas")
    second = files.latest("event")
    second = second | {"fields": [*second["fields"], {"name": "mood", "type": "string"}]}
    (tmp_path / "schemas/avro/event.v2.avsc").write_text(json.dumps(second))
    return tmp_path / "schemas"


def test_schemas_check_fails_on_an_incompatible_version(incompatible: Path) -> None:
    done = CliRunner().invoke(main, ["schemas", "check", "--files-only", "--schemas", str(incompatible)])
    assert (done.exit_code, done.output) == (
        1, "Error: event: v2 cannot read what v1 wrote: mood: added without a default\n")  # fmt: skip


def test_schemas_check_passes_on_those_of_penstock() -> None:
    done = CliRunner().invoke(main, ["schemas", "check", "--files-only", "--json"])
    assert (done.exit_code, json.loads(done.output)) == (0, {"checked": 7, "problems": []})


def test_a_version_that_is_left_out_is_an_error(incompatible: Path) -> None:
    (incompatible / "avro/event.v2.avsc").rename(incompatible / "avro/event.v3.avsc")
    with pytest.raises(PermanentError, match="v2 is missing"):
        files.versions("event", incompatible)


def test_a_file_that_is_not_json_is_named(incompatible: Path) -> None:
    (incompatible / "avro/event.v2.avsc").write_text("{")
    with pytest.raises(PermanentError, match=r"event\.v2\.avsc is not JSON"):
        files.versions("event", incompatible)
