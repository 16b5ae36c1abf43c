"""Schemas in the real registry, and framed values through the real Kafka."""

import copy
import uuid
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from penstock.errors import DataError, PermanentError
from penstock.schema import files
from penstock.schema.admin import register_all
from penstock.schema.catalogue import load_catalogue
from penstock.schema.check import check_registry
from penstock.schema.codec import Decoder, encoder
from penstock.schema.registry import Registry
from tests.conftest import RunningStack
from tests.unit.schema.test_codec import PUSH

pytestmark = pytest.mark.integration


@pytest.fixture
async def registry(stack: RunningStack) -> AsyncIterator[Registry]:
    async with Registry(stack.schema_registry_url) as client:
        yield client


@pytest.fixture
async def subject(stack: RunningStack) -> AsyncIterator[str]:
    """A subject of the test's own, gone after it."""
    name = f"{uuid.uuid4().hex}-value"
    yield name
    async with ClientSession(stack.schema_registry_url + "/") as session:
        for query in ("", "?permanent=true"):
            async with session.delete(f"subjects/{name}{query}"):
                pass


async def test_one_schema_has_one_id_under_every_subject(registry: Registry) -> None:
    registered = await register_all(registry, load_catalogue())
    ids: dict[str, set[int]] = {}
    for made in registered:
        ids.setdefault(made.record, set()).add(made.schema_id)
    assert {made.subject for made in registered} >= {"events.inbox-value", "events.raw-value", "retry.enrich-value"}
    assert all(len(found) == 1 for found in ids.values()), ids
    assert len(set.union(*ids.values())) == len(ids), "and each schema one of its own"


async def test_registering_twice_gives_the_same_id_and_version(registry: Registry, subject: str) -> None:
    first = await registry.register(subject, files.latest("event"))
    assert await registry.register(subject, files.latest("event")) == first
    assert await registry.versions(subject) == [files.latest("event")]
    assert await registry.schema(first) == files.latest("event")


async def test_an_incompatible_schema_is_refused_once_the_subject_is_held_to_it(
    registry: Registry, subject: str
) -> None:
    await registry.register(subject, files.latest("event"))
    await registry.require_compatibility(subject)
    narrower = copy.deepcopy(files.latest("event"))
    narrower["fields"].append({"name": "mood", "type": "string"})
    with pytest.raises(PermanentError, match="incompatible"):
        await registry.register(subject, narrower)
    wider = copy.deepcopy(files.latest("event"))
    wider["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    await registry.register(subject, wider)
    assert len(await registry.versions(subject)) == 2


async def test_what_is_registered_agrees_with_the_files(registry: Registry) -> None:
    await register_all(registry, load_catalogue())
    assert await check_registry(registry, load_catalogue()) == []


async def test_an_id_nobody_registered_and_a_subject_nobody_made(registry: Registry) -> None:
    with pytest.raises(DataError, match="unknown-schema"):
        await registry.schema(2**31 - 1)
    with pytest.raises(DataError, match="unknown-schema"):
        await registry.schema(2**32 - 1)
    assert await registry.versions(f"{uuid.uuid4().hex}-value") == []


async def test_an_event_goes_through_kafka_and_a_newer_writers_does_too(
    stack: RunningStack, registry: Registry, subject: str
) -> None:
    codec = await encoder(registry, "event", subject)
    newer = copy.deepcopy(files.latest("event"))
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    newer_id = await registry.register(subject, newer)
    old = codec.encode(PUSH)
    new = b"\0" + newer_id.to_bytes(4, "big") + old[5:] + b"\x02\x06joy"

    read = through_kafka(stack.bootstrap_servers, [old, new])
    decoder = Decoder(registry, "event")
    await decoder.prepare(read)
    assert [decoder.decode(value) for value in read] == [PUSH, PUSH]


def through_kafka(bootstrap_servers: str, values: list[bytes]) -> list[bytes | None]:
    topic = f"schema-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [message.value() for message in consumer.consume(len(values), timeout=20)]
    finally:
        consumer.close()
        admin.delete_topics([topic])[topic].exception()
