"""What the rows of the contract do over and over: wait for partitions, read some records, write in a transaction."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from penstock.stream.port import (
    Assigned,
    Broker,
    Event,
    Lost,
    Membership,
    Outcome,
    Outgoing,
    Polled,
    Record,
    Revoked,
    TopicPartition,
)
from tests.contract.bench import Bench

PATIENCE_S = 60.0
POLL_S = 0.2
E = TypeVar("E", Assigned, Revoked, Lost)


def is_quiet(event: Event) -> bool:
    """Nothing about partitions: records, or a rebalance that brought none."""
    return isinstance(event, Polled) or (isinstance(event, Assigned) and not event.partitions)


async def next_event(broker: Broker, kind: type[E]) -> E:
    """Polls until an event of this kind comes; records on the way are ignored, other events are a failure."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event: Event = await broker.poll(100, POLL_S)
            if isinstance(event, kind) and event.partitions:
                return event
            assert is_quiet(event), f"waiting for {kind.__name__}, got {event}"


async def start_reading(broker: Broker, partitions: Collection[TopicPartition], at: int = 0) -> None:
    """Polls until these partitions are assigned, and lets them run from `at`."""
    missing = set(partitions)
    while missing:
        assigned = (await next_event(broker, Assigned)).partitions
        await broker.seek(dict.fromkeys(assigned, at))
        await broker.resume(assigned)
        missing -= assigned


async def take(broker: Broker, count: int, max_records: int = 100) -> list[Record]:
    """Polls until `count` records have come."""
    return (await take_with_membership(broker, count, max_records))[0]


async def take_with_membership(
    broker: Broker, count: int, max_records: int = 100
) -> tuple[list[Record], Membership | None]:
    """The records, and the membership they were polled with."""
    found: list[Record] = []
    membership: Membership | None = None
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            event = await broker.poll(max_records, POLL_S)
            assert is_quiet(event), f"waiting for records, got {event}"
            if isinstance(event, Polled):
                found += event.records
                membership = event.membership
    assert len(found) == count
    return found, membership


async def silence(broker: Broker, polls: int = 5) -> None:
    """Some polls bring no record."""
    for _ in range(polls):
        event = await broker.poll(100, POLL_S)
        assert is_quiet(event), f"waiting for nothing, got {event}"
        assert not (isinstance(event, Polled) and event.records)


async def end_of(broker: Broker, partition: TopicPartition) -> int:
    return (await broker.end_offsets([partition]))[partition]


async def end_reaches(broker: Broker, partition: TopicPartition, end: int) -> None:
    """Waits until a read_committed reader can get that far."""
    async with asyncio.timeout(PATIENCE_S):
        while await end_of(broker, partition) < end:  # noqa: ASYNC110  the broker has no event to wait for
            await asyncio.sleep(POLL_S)


async def committed(broker: Broker, partition: TopicPartition) -> int | None:
    return (await broker.stable_offsets([partition]))[partition]


async def read_all(broker: Broker, partition: TopicPartition) -> list[Record]:
    """All that a read_committed reader sees of a partition."""
    return list(await broker.read(partition, 0, await end_of(broker, partition), 1000))


async def comes_to_read(broker: Broker, partition: TopicPartition, *expected: bytes) -> None:
    """Waits until a read_committed reader sees just these values: a commit is acknowledged before its markers are
    written, so for a moment readers lag behind the writer."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await read_all(broker, partition)) < len(expected):  # noqa: ASYNC110  nothing to wait for
            await asyncio.sleep(POLL_S)
    assert values(found) == list(expected)


async def transact(
    broker: Broker,
    records: Sequence[Outgoing],
    offsets: Mapping[TopicPartition, int] | None = None,
    membership: Membership | None = None,
) -> Outcome:
    """One transaction from its begin to its commit."""
    await broker.begin()
    await broker.produce(records, {})
    return await broker.commit(offsets or {}, membership)


def lines(bench: Bench, topic: str, *values: bytes, partition: int = 0) -> list[Outgoing]:
    """Records of now, one per value."""
    return [Outgoing(topic, None, value, [], bench.now_ms(), partition) for value in values]


def values(records: Collection[Record]) -> list[bytes | None]:
    return [record.value() for record in records]
