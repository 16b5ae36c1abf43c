"""The real service, killed -9 at every point of a transaction: what outsiders wrote is in events.raw, once."""

import asyncio
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from confluent_kafka import Producer

from penstock.clock import SystemClock
from penstock.event_input import parse_event
from penstock.schema.admin import apply_all
from penstock.schema.codec import encoder
from penstock.schema.registry import Registry
from tests.conftest import RunningStack
from tests.integration.ingest.world import WITHIN_S, IngestProcess, Topic, ingest, until, watching
from tests.unfinished import OPEN_AT, open_transactions

pytestmark = pytest.mark.integration

POINTS = ("before-handle", "before-produce", "after-produce", "before-commit", "after-commit")
EVENTS = 50
EVENTS_POSTED = 1_000
SLOT = "77"
"""The same for all, so that the next one ends what the killed one left open."""


@pytest.fixture
def source() -> str:
    return f"killed-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def raw(stack: RunningStack) -> Iterator[Topic]:
    asyncio.run(apply_all(stack.bootstrap_servers, stack.schema_registry_url))
    yield from watching(stack, "events.raw")


def event(source: str, number: int) -> dict[str, object]:
    return {"source": source, "id": str(number), "kind": "other", "occurred_at": 1_420_070_400_000}


async def write_to_inbox(stack: RunningStack, source: str, first: int) -> None:
    async with Registry(stack.schema_registry_url) as registry:
        codec = await encoder(registry, "event", "events.inbox-value")
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number in range(first, first + EVENTS):
        record = parse_event(event(source, number), SystemClock().now_ms()).to_record()
        producer.produce("events.inbox", codec.encode(record), key=str(number))
    assert await asyncio.to_thread(producer.flush, 30) == 0


async def test_kill_9_anywhere_in_a_transaction_loses_and_doubles_nothing(
    stack: RunningStack, raw: Topic, source: str, tmp_path: Path
) -> None:
    for number, point in enumerate(POINTS):
        await write_to_inbox(stack, source, number * EVENTS)
        async with ingest(stack, tmp_path, PENSTOCK_SLOT=SLOT, PENSTOCK_FAILPOINT=f"ingest.{point}") as at:
            assert await asyncio.wait_for(at.process.wait(), WITHIN_S) == -signal.SIGKILL, at.told()
        left = await asyncio.to_thread(open_transactions, stack.bootstrap_servers, ["events.raw"])
        assert bool(left) is (point in OPEN_AT) or point == "after-commit", point
    async with ingest(stack, tmp_path, PENSTOCK_SLOT=SLOT):
        total = len(POINTS) * EVENTS
        await asyncio.to_thread(raw.read_until, lambda: len({m.key() for m in raw.of(source)}) == total)
        await asyncio.to_thread(raw.read_rest)
    assert set(Counter(message.key() for message in raw.of(source)).values()) == {1}
    assert len({dict(message.headers() or [])["uid"] for message in raw.of(source)}) == total


async def test_a_producer_that_sends_again_what_was_not_answered_loses_nothing_to_kill_9(
    stack: RunningStack, raw: Topic, source: str, tmp_path: Path
) -> None:
    """A POST that was not answered may be in all the same: then its second try is a duplicate of the same key."""
    waiting, answered = set(range(EVENTS_POSTED)), set[int]()

    async def post(at: IngestProcess, client: aiohttp.ClientSession, number: int) -> None:
        async with client.post(f"{at.api}/events", data=orjson.dumps(event(source, number))) as response:
            assert response.status == 202
            answered.add(number)

    async def post_all(at: IngestProcess) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as client:
            await asyncio.gather(*(post(at, client, number) for number in waiting), return_exceptions=True)

    async with ingest(stack, tmp_path, PENSTOCK_SLOT=SLOT) as at:
        posting = asyncio.ensure_future(post_all(at))
        await until(lambda: len(answered) > 0)
        os.kill(at.process.pid, signal.SIGKILL)
        await posting
    waiting -= answered
    assert 0 < len(waiting) < EVENTS_POSTED
    async with ingest(stack, tmp_path, PENSTOCK_SLOT=SLOT) as at:
        await post_all(at)
    assert len(answered) == EVENTS_POSTED
    await asyncio.to_thread(raw.read_until, lambda: len({m.key() for m in raw.of(source)}) == EVENTS_POSTED)
