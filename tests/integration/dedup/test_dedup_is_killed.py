"""The real service, killed -9 at every point of a transaction, on the real topics."""

import asyncio
import time
from collections import Counter
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from penstock.clock import SystemClock
from penstock.schema.codec import encoder
from penstock.schema.registry import Registry
from penstock.stream import kafka_config
from tests.conftest import RunningStack
from tests.integration.dedup.world import PATIENCE_S, fingerprint, killed_at, read_committed, service
from tests.unfinished import OPEN_AT, open_transactions

pytestmark = pytest.mark.integration

EVENTS, TWICE = 300, 100
WRITTEN = ("events.unique", "events.duplicates", "dedup.seen")


async def send(stack: RunningStack, source: str, first: int) -> None:
    """Events of a source of this test alone, some of them twice."""
    async with Registry(stack.schema_registry_url) as registry:
        codec = await encoder(registry, "event", "events.raw-value")
    now_ms = SystemClock().now_ms()
    producer = Producer(kafka_config.producer(stack.bootstrap_servers, source))
    seed = int(source.removeprefix("killed-"), 16) << 32
    for n in [*range(first, first + EVENTS), *range(first, first + TWICE)]:
        event = {"id": f"{source}:{n}", "source": source, "kind": "other", "occurred_at": now_ms, "ingested_at": now_ms}
        producer.produce(
            "events.raw",
            codec.encode(event),
            fingerprint(seed + n),
            headers=[("uid", uuid4().bytes), ("source", source.encode())],
            timestamp=now_ms,
        )
    assert await asyncio.to_thread(producer.flush, 30) == 0


async def counts(stack: RunningStack, topic: str, source: str) -> Counter[bytes | None]:
    """How often each fingerprint of this source is in the topic, committed."""
    found = await asyncio.to_thread(read_committed, stack.bootstrap_servers, topic, 0)
    return Counter(m.key() for m in found if ("source", source.encode()) in (m.headers() or []))


async def all_decided(stack: RunningStack, source: str, duplicates: int) -> None:
    """Waits for the last of what was sent, which the duplicates are."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (await counts(stack, "events.duplicates", source)).total() < duplicates:
        assert time.monotonic() < deadline_s, "some duplicates are missing"


async def test_kill_9_anywhere_in_a_transaction_loses_and_doubles_nothing(stack: RunningStack) -> None:
    source = f"killed-{uuid4().hex[:8]}"
    points = ("before-handle", "before-produce", "after-produce", "before-commit", "after-commit")
    for number, point in enumerate(points):
        await send(stack, source, number * EVENTS)
        await killed_at(f"dedup.{point}", stack, slot=7)
        left = await asyncio.to_thread(open_transactions, stack.bootstrap_servers, WRITTEN)
        assert ("events.unique" in left) is (point in OPEN_AT) or point == "after-commit", f"{point}: {left}"
        assert ("dedup.seen" in left) is (point == "before-commit") or point == "after-commit", f"{point}: {left}"
    total = len(points) * EVENTS
    async with service(stack, slot=7):
        await all_decided(stack, source, len(points) * TWICE)
    unique = await counts(stack, "events.unique", source)
    assert len(unique) == unique.total() == total
    assert (await counts(stack, "events.duplicates", source)).total() == len(points) * TWICE
