"""Every example of every topic is what its schema says: what readers of a topic may count on."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.event import KINDS
from penstock.schema import files
from penstock.schema.avro import parse_record
from penstock.schema.catalogue import Topic, load_catalogue
from penstock.schema.codec import Codec, Decoder
from penstock.schema.json_form import from_json, to_json
from tests.unit.event_of_record import event_of_record
from tests.unit.schema.test_codec import Schemas

TYPED = [topic for topic in load_catalogue().topics if topic.record]
EXAMPLES = [
    pytest.param(topic, path, id=f"{topic.name}/{path.stem}")
    for topic in TYPED
    for path in sorted((files.schemas_folder() / "examples" / topic.name).glob("*.json"))
]
EVENTS = [example for example in EXAMPLES if example.values[0].record == "event"]  # type: ignore[union-attr]  # a Topic


def schema_of(topic: Topic) -> files.AvroSchema:
    assert topic.record is not None
    return files.latest(topic.record)


def read(path: Path, schema: files.AvroSchema) -> dict[str, Any]:
    record: dict[str, Any] = from_json(parse_record(schema), json.loads(path.read_text(encoding="utf-8")))
    return record


def test_every_topic_has_examples_and_every_example_a_topic() -> None:
    shown = {path.name for path in (files.schemas_folder() / "examples").iterdir()}
    assert shown == {topic.name for topic in TYPED}
    assert {example.values[0].name for example in EXAMPLES} == shown  # type: ignore[union-attr]  # a Topic


@pytest.mark.parametrize(("topic", "path"), EXAMPLES)
def test_an_example_states_every_field_and_survives_the_round_trip(topic: Topic, path: Path) -> None:
    schema = schema_of(topic)
    record = read(path, schema)
    assert set(record) == {field["name"] for field in schema["fields"]}
    framed = Codec(1, schema).encode(record)
    decoder = Decoder(Schemas({1: schema}), topic.record or "")
    asyncio.run(decoder.prepare([framed]))
    assert decoder.decode(framed) == record
    assert to_json(record) == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("topic", "path"), EXAMPLES)
def test_another_avro_library_reads_and_writes_an_example_alike(topic: Topic, path: Path) -> None:
    schema = schema_of(topic)
    record = read(path, schema)
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), record, strict=True)
    assert Codec(1, schema).encode(record)[5:] == out.getvalue()


@pytest.mark.parametrize(("topic", "path"), EVENTS)
def test_an_example_of_an_event_is_an_event(topic: Topic, path: Path) -> None:
    record = read(path, schema_of(topic))
    assert event_of_record(record).to_record() == record


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_an_example_with_bytes_changed_is_read_or_is_a_data_error(data: st.DataObject) -> None:
    value, decoder = data.draw(st.sampled_from(FRAMED))
    forged = bytearray(value)
    for position, byte in data.draw(
        st.lists(st.tuples(st.integers(5, len(value) - 1), st.integers(0, 255)), max_size=4)
    ):
        forged[position] = byte
    cut = data.draw(st.integers(0, len(value)))
    huge = data.draw(
        st.sampled_from([b"", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xfe\xff\xff\xff\x0f", b"\xff" * 12])
    )
    start = time.process_time()
    with contextlib.suppress(DataError):
        decoder.decode(bytes(forged[: max(5, cut)]) + huge + bytes(forged[max(5, cut) + len(huge) :]))
    assert time.process_time() - start < 1


def framed_examples() -> Iterator[tuple[bytes, Decoder]]:
    decoders = {}
    for example in EXAMPLES:
        topic, path = example.values
        assert isinstance(topic, Topic)
        assert isinstance(path, Path)
        schema = schema_of(topic)
        framed = Codec(1, schema).encode(read(path, schema))
        if topic.record not in decoders:
            decoders[topic.record] = Decoder(Schemas({1: schema}), schema)
            asyncio.run(decoders[topic.record].prepare([framed]))
        yield framed, decoders[topic.record]


FRAMED = list(framed_examples())


def test_the_schema_and_the_code_name_the_same_kinds() -> None:
    (kind,) = (field for field in files.latest("event")["fields"] if field["name"] == "kind")
    assert tuple(kind["type"]["symbols"]) == KINDS


def test_the_examples_cover_every_field() -> None:
    """A field that no example fills is one that no reader is tested with."""
    for record in files.records():
        examples = [
            read(example.values[1], files.latest(record))  # type: ignore[arg-type]  # a Path
            for example in EXAMPLES
            if example.values[0].record == record  # type: ignore[union-attr]  # a Topic
        ]
        unfilled = {name for name in examples[0] if all(example[name] in (None, [], {}) for example in examples)}
        assert unfilled <= NOT_IN_RECORDINGS.get(record, set()), f"{record}: {unfilled}"


NOT_IN_RECORDINGS = {
    "event": {"version"},
    "enriched_event": {"version"},
    "scored_event": {"version"},
    "dead_letter": {"field"},
}
