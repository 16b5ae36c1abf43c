"""Dead letters are found in their topics on real Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.ledger.audit import Command, Done
from penstock.ledger.dead import Found, Wanted, find
from penstock.ledger.kafka_reader import KafkaReader
from tests.conftest import RunningStack
from tests.integration.ledger.world import World, decoders, small_world, uid_of

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def world(stack: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    async with small_world(stack, tmp_path) as made:
        yield made


async def found(world: World, wanted: Wanted, limit: int = 50, *, with_settled: bool = False) -> Found:
    reader = KafkaReader(world.places.bootstrap_servers)
    try:
        return await find(reader, decoders(), wanted, limit, with_settled=with_settled, topics=world.places.topics)
    finally:
        await reader.close()


async def test_letters_are_found_by_stage_source_and_time(world: World) -> None:
    world.bury("enrich", uid_of(1), 10)
    world.bury("enrich", uid_of(2), 11, source="wikipedia")
    world.bury("sink-s3", uid_of(3), 12)
    assert (await found(world, Wanted())).count == 3
    assert (await found(world, Wanted(stages=["enrich"]))).count == 2
    (letter,) = (await found(world, Wanted(stages=["enrich"], sources=["wikipedia"]))).letters
    assert (letter.uid, letter.origin and letter.origin.offset) == (uid_of(2), 11)
    assert (await found(world, Wanted(reasons=["tombstone"]))).count == 0
    assert (await found(world, Wanted(since_ms=world.now_ms + 2))).count == 0


async def test_letters_are_found_by_category_and_up_to_a_time(world: World) -> None:
    world.bury("enrich", uid_of(1), 10)
    assert (await found(world, Wanted(categories=["data"]))).count == 1
    assert (await found(world, Wanted(categories=["system"]))).count == 0
    assert (await found(world, Wanted(until_ms=world.now_ms + 1))).count == 0, "it died then"
    assert (await found(world, Wanted(until_ms=world.now_ms + 2))).count == 1


async def test_letters_that_were_settled_are_left_out_unless_asked_for(world: World) -> None:
    for offset in range(3):
        world.bury("enrich", uid_of(offset), offset, times=2)
    world.settle(Command.RETRY, "enrich", uid_of(0), 0)
    world.settle(Command.PURGE, "enrich", uid_of(1), 1)
    resting = await found(world, Wanted())
    assert [letter.origin and letter.origin.offset for letter in resting.letters] == [2, 2]
    assert (resting.hidden, resting.settled) == (4, {})
    everything = await found(world, Wanted(), with_settled=True)
    assert (everything.count, everything.hidden) == (6, 0)
    done = {letter.origin and letter.origin.offset: everything.settled.get(letter.id) for letter in everything.letters}
    assert done == {
        0: Done(Command.RETRY, "somebody@somewhere", world.now_ms),
        1: Done(Command.PURGE, "somebody@somewhere", world.now_ms),
        2: None,
    }


async def test_the_last_ones_are_given_and_all_are_counted(world: World) -> None:
    for offset in range(5):
        world.bury("dedup", uid_of(offset), offset)
    last = await found(world, Wanted(), limit=2)
    assert last.count == 5
    assert [letter.origin and letter.origin.offset for letter in last.letters] == [3, 4]


async def test_what_somebody_else_wrote_into_the_topic_is_told_and_does_not_stop_it(world: World) -> None:
    world.write("dlq.enrich", uid_of(1))
    world.bury("enrich", uid_of(2), 10)
    both = await found(world, Wanted())
    assert (both.count, both.unreadable) == (1, 1)
