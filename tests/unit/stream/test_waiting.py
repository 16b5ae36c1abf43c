"""What a loop does while something outside Kafka is away: paused, polling, and asking no more often than it should."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest

from penstock.breaker import BreakerSettings
from penstock.dependency import Dependency
from penstock.errors import BrokerError, TransientError
from penstock.metrics import Metrics
from penstock.stream.handler import Dead, Flushed, Output
from penstock.stream.port import Event, Membership, Outcome, Record, TopicPartition
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import (
    GROUP,
    IN,
    OUT,
    PassOn,
    Shelf,
    broker_of,
    cluster,
    loop_of,
    running,
    sink_loop_of,
)

AWAY_S = 60.0
PAUSES = BreakerSettings(failures=3, open_s=0.5, open_max_s=10.0)


class Outside:
    """Away until `back_at_s`; notes when it was asked."""

    def __init__(self, on: Cluster) -> None:
        self._on = on
        self.back_at_s = on.now_s + AWAY_S
        self.asked_s: list[float] = []
        self.dependency = Dependency("stage", "outside", PAUSES, on.clock, Metrics())

    async def ask(self) -> None:
        async with self.dependency.attempt():
            self.asked_s.append(self._on.now_s)
            if self._on.now_s < self.back_at_s:
                raise TransientError("it is away")

    def asked_while_away(self) -> int:
        return sum(at < self.back_at_s for at in self.asked_s)


class Asks(PassOn):
    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self._outside = outside

    async def process(self, batch: Sequence[Record]) -> Output:
        await self._outside.ask()
        return await super().process(batch)


class Distant(Shelf):
    def __init__(self, outside: Outside, call: str) -> None:
        super().__init__()
        self._outside, self._call = outside, call

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        if self._call == "positions":
            await self._outside.ask()
        return await super().positions(partitions, topic_ids)

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        if self._call == "add":
            await self._outside.ask()
        return await super().add(batch)

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        if self._call == "flush":
            await self._outside.ask()
        return await super().flush(ends)


class Stumbles(Shelf):
    """Each of its calls fails the first time, with an error of nobody's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error
        self._left = {"positions", "add", "flush"}

    def _stumble(self, call: str) -> None:
        if call in self._left:
            self._left.remove(call)
            raise self._error

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        self._stumble("positions")
        return await super().positions(partitions, topic_ids)

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        self._stumble("add")
        return await super().add(batch)

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        self._stumble("flush")
        return await super().flush(ends)


class Polls(MemoryBroker):
    """Notes the longest time between two polls."""

    longest_s = 0.0
    _last_s: float | None = None

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        now_s = self._cluster.now_s
        if self._last_s is not None:
            self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s
        return await super().poll(max_records, timeout_s)


def polls(on: Cluster) -> Polls:
    return Polls(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")


def test_a_stage_polls_on_and_asks_seldom_while_what_it_needs_is_away() -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(20)])
        outside, broker = Outside(on), polls(on)
        await running(loop_of(on, Asks(outside), broker=broker), until=lambda: on.is_drained(GROUP, IN))
        assert [one.value() for one in on.records(OUT)] == [b"%d" % number for number in range(20)]
        assert broker.longest_s < 1.0
        # Three, then pauses of 0.5, 1, 2, 4, 8, 10, 10, ... s until a minute is over.
        assert outside.asked_while_away() <= 3 + 9
        assert outside.asked_s[-1] < outside.back_at_s + PAUSES.open_max_s

    run_in_virtual_time(story())


@pytest.mark.parametrize("call", ["positions", "add", "flush"])
def test_a_sink_polls_on_and_asks_seldom_while_what_it_needs_is_away(call: str) -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(20)])
        outside, broker = Outside(on), polls(on)
        shelf = Distant(outside, call)
        await running(sink_loop_of(on, shelf, broker=broker), until=lambda: len(shelf.stored) == 20)
        assert shelf.stored == [b"%d" % number for number in range(20)]
        assert broker.longest_s < 1.0
        assert outside.asked_while_away() <= 3 + 9
        assert outside.asked_s[-1] < outside.back_at_s + PAUSES.open_max_s + 1

    run_in_virtual_time(story())


def test_a_loop_that_waits_is_not_ready_until_the_attempt_that_succeeds() -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"x")])
        outside = Outside(on)
        loop = loop_of(on, Asks(outside), broker=broker_of(on))
        seen: set[bool] = set()

        def drained() -> bool:
            if len(outside.asked_s) > 3 and outside.dependency.trouble is not None:
                seen.add(loop.ready)
            return on.is_drained(GROUP, IN)

        await running(loop, until=drained)
        assert seen == {False}

    run_in_virtual_time(story())


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), TimeoutError("late")])
def test_a_sink_waits_out_what_passes_by_itself_whoever_raised_it(error: Exception) -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(20)])
        shelf = Stumbles(error)
        await running(sink_loop_of(on, shelf, broker=broker_of(on)), until=lambda: len(shelf.stored) == 20)
        assert shelf.stored == [b"%d" % number for number in range(20)]

    run_in_virtual_time(story())


class Uncoordinated(Polls):
    """The first commit ends with a fencing, and no coordinator is there for 75 s: each renewal fails after 10 s."""

    away_until_s: float | None = None
    renewals = 0

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        if self.away_until_s is None:
            self.away_until_s = self._cluster.now_s + 75.0
            return Outcome.FENCED
        return await super().commit(offsets, membership)

    async def renew(self) -> None:
        self.renewals += 1
        if self.away_until_s is not None and self._cluster.now_s < self.away_until_s:
            await asyncio.sleep(10.0)
            raise BrokerError("no coordinator")
        await super().renew()


@pytest.mark.parametrize("kind", ["stage", "sink"])
def test_a_loop_without_a_producer_polls_between_its_attempts_and_stays_in_its_group(kind: str) -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(20)])
        broker = Uncoordinated(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        loop = loop_of(on, PassOn(), broker=broker) if kind == "stage" else sink_loop_of(on, Shelf(), broker=broker)
        await running(loop, until=lambda: on.is_drained(GROUP, IN))
        assert broker.longest_s < 12.0, "one attempt, and not two without a poll in between"
        assert broker.renewals <= 8, "with pauses that grow"

    run_in_virtual_time(story())
