"""Dedup on real Kafka, with a real registry."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from confluent_kafka import Message

from penstock.errors import PermanentError
from penstock.schema.registry import Registry
from services.dedup.state import WindowSettings
from tests.conftest import RunningStack
from tests.integration.dedup.world import Sent, World, ended, until

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(stack: RunningStack) -> AsyncIterator[World]:
    async with Registry(stack.schema_registry_url) as registry:
        made = World(stack, registry, f"dedup-{uuid4().hex[:12]}")
        await made.create()
        yield made


def header(message: Message, name: str) -> bytes | None:
    return dict(message.headers() or ()).get(name)  # type: ignore[return-value]  # the stubs allow str


async def test_each_record_goes_where_it_belongs(world: World) -> None:
    originals = world.send(Sent(n) for n in range(50))  # some on every partition, so that each has a watermark
    again = world.send([Sent(1), Sent(2)])
    late = world.send([Sent(100, age_ms=400_000), Sent(1, age_ms=400_000)])
    wrong = world.send([Sent(None)])
    async with world.dedup():
        unique = await world.read(world.topics.unique, 50)
        duplicates = await world.read(world.topics.duplicates, 2)
        kept = await world.read(world.topics.late, 2)
        dead = await world.read(world.dead, 1)
    found = [sorted(str(header(m, "uid")) for m in messages) for messages in (unique, duplicates, kept, dead)]
    assert found == [sorted(map(str, uids)) for uids in (originals, again, late, wrong)]
    assert {"bad-key"} == {letter["reason"] for letter in await world.decoded("dead_letter", dead)}


async def test_what_goes_on_is_what_came_byte_for_byte(world: World) -> None:
    (uid,) = world.send([Sent(7)])
    async with world.dedup():
        (unique,) = await world.read(world.topics.unique, 1)
    (raw,) = await world.read(world.raw, 1)
    for part in ("key", "value", "headers", "timestamp", "partition"):
        assert getattr(unique, part)() == getattr(raw, part)()
    assert header(unique, "uid") == uid


async def test_a_duplicate_names_its_original(world: World) -> None:
    world.send([Sent(7), Sent(7)])
    async with world.dedup():
        found = await world.read(world.topics.duplicates, 1)
    first, second = await world.read(world.raw, 2)
    (duplicate,) = await world.decoded("duplicate", found)
    assert (duplicate["partition"], duplicate["offset"]) == (second.partition(), second.offset())
    assert duplicate["timestamp"] == second.timestamp()[1]
    assert duplicate["source"] == "test"
    named = duplicate["first"]
    assert isinstance(named, dict)
    assert (named["topic_id"], named["partition"], named["offset"], named["timestamp"]) == (
        await world.topic_id(world.raw),
        first.partition(),
        first.offset(),
        first.timestamp()[1],
    )


async def test_a_restart_remembers(world: World) -> None:
    world.send([Sent(n) for n in range(200)])
    async with world.dedup():
        await world.read(world.topics.unique, 200)
    world.send([Sent(n) for n in range(100, 300)])
    async with world.dedup(slot=1):
        unique = await world.read(world.topics.unique, 300)
        duplicates = await world.read(world.topics.duplicates, 100)
    assert len({m.key() for m in unique}) == len(unique) == 300
    assert len(duplicates) == 100


async def test_instances_that_come_and_go_let_nothing_through_twice(world: World) -> None:
    choice = random.Random(4)
    numbers = [choice.randrange(3000) for _ in range(6000)]
    expected = len(set(numbers))
    async with world.dedup(slot=0) as first:
        world.send(Sent(n) for n in numbers[:2000])
        await until(lambda: first.ready)
        async with world.dedup(slot=1) as second:
            world.send(Sent(n) for n in numbers[2000:4000])
            await until(lambda: second.ready)
        world.send(Sent(n) for n in numbers[4000:])
        unique = await world.read(world.topics.unique, expected)
        duplicates = await world.read(world.topics.duplicates, len(numbers) - expected)
    assert max(Counter(m.key() for m in unique).values()) == 1
    assert (len(unique), len(duplicates)) == (expected, len(numbers) - expected)


async def test_a_changelog_of_another_fingerprint_version_stops_it_with_an_explanation(world: World) -> None:
    world.send([Sent(1)])
    async with world.dedup():
        await world.read(world.topics.unique, 1)
    with pytest.raises(PermanentError, match="fingerprint version 1, this dedup has version 2"):
        async with world.dedup(window=WindowSettings(86_400_000, 300_000, fingerprint_version=2)) as loop:
            await until(lambda: loop.ready)


async def test_a_grace_that_does_not_fit_the_topic_is_refused_before_anything_is_read(stack: RunningStack) -> None:
    code, said = await ended(stack, slot=8, PENSTOCK_DEDUP_GRACE_S="60")
    assert (code, "PENSTOCK_DEDUP_GRACE_S=60 is not allowed" in said) == (3, True), said
