"""What a fetch hands over when a rebalance comes in the middle of it. The client here is a script, not a broker: real
Kafka cannot be told when to call back, and the contract suite holds the rest.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from penstock.errors import TransientError
from penstock.stream import group_reader
from penstock.stream.group_reader import GroupReader
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.port import Event, Polled, Revoked, TopicPartition
from penstock.testing.builders import batch

HELD, KEPT = TopicPartition("events.raw", 0), TopicPartition("events.raw", 1)
SETTINGS = ClientSettings("none:1", "group", ("events.raw",), "tx")


class Message:
    """A record with the client's `error()`."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def error(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)


class Script:
    """A client whose next fetch calls back in its middle."""

    def __init__(self, before: Iterable[Any], callback: Callable[[], None], after: Iterable[Any]) -> None:
        self._before, self._callback, self._after = list(before), callback, list(after)
        self.at: dict[TopicPartition, int] = {HELD: -1001, KEPT: -1001}
        self.sought: list[tuple[TopicPartition, int]] = []
        self.calls: list[str] = []
        self.unready = 0
        """How many seeks are refused: the client has not taken the partition up yet."""

    def consume(self, count: int, timeout_s: float) -> list[Any]:
        for message in self._before:
            self._move(message)
        self._callback()
        for message in self._after:
            self._move(message)
        return [*self._before, *self._after]

    def poll(self, timeout_s: float) -> None:
        return None

    def position(self, partitions: list[KafkaPartition]) -> list[KafkaPartition]:
        self.calls.append("position")
        return [KafkaPartition(p.topic, p.partition, self.at[TopicPartition(p.topic, p.partition)]) for p in partitions]

    def seek(self, partition: KafkaPartition) -> None:
        if self.unready > 0:
            self.unready -= 1
            raise KafkaException(KafkaError(KafkaError._STATE, "Failed to seek: Local: Erroneous state"))
        where = TopicPartition(partition.topic, partition.partition)
        self.at[where] = -1001
        self.sought.append((where, partition.offset))

    def incremental_assign(self, partitions: list[KafkaPartition]) -> None:
        self.calls.append("incremental_assign")

    def pause(self, partitions: list[KafkaPartition]) -> None:
        self.calls.append("pause")

    def incremental_unassign(self, partitions: list[KafkaPartition]) -> None:
        pass

    def resume(self, partitions: list[KafkaPartition]) -> None:
        self.calls.append("resume")

    def assignment(self) -> None:
        self.calls.append("assignment")

    def offsets_for_times(self, partitions: list[KafkaPartition], timeout: float) -> None:
        self.calls += [f"offsets_for_times {p.topic}[{p.partition}]" for p in partitions]
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def consumer_group_metadata(self) -> object:
        return object()

    def _move(self, message: Any) -> None:
        self.at[TopicPartition(message.topic(), message.partition())] = message.offset() + 1


def messages(partition: int, first: int, count: int) -> list[Message]:
    return [Message(one) for one in batch(*[b"x"] * count, partition=partition, first=first)]


WAKES = f"offsets_for_times {KEPT}"
"""A request that wakes the client's thread, whatever comes of it."""


class Bench:
    def __init__(self, before: list[Message], after: list[Message], during: Callable[["Bench"], None]) -> None:
        self.events: list[Event] = []
        self.reader = GroupReader(SETTINGS, self.events.append, self._hold, lambda: None)
        self.during = during
        self.client = Script(before, self._revoke, after)
        self.reader._consumer = self.client  # type: ignore[assignment]
        self.reader._assigned_now = {HELD, KEPT}

    def polled(self) -> Polled:
        (last,) = (event for event in self.events if isinstance(event, Polled))
        return last

    def _revoke(self) -> None:
        self.reader._revoked(self.client, [KafkaPartition(*HELD)])  # type: ignore[arg-type]

    def _hold(self, _: Callable[[], bool]) -> None:
        self.during(self)
        (revoked,) = (event for event in self.events if isinstance(event, Revoked))
        revoked.ack()


def test_a_seek_while_a_revocation_is_held_drops_the_rest_of_that_fetch_and_is_repeated() -> None:
    bench = Bench(messages(1, 10, 3), messages(1, 2, 2), lambda bench: bench.reader.seek({KEPT: 2}))
    bench.reader.fetch(100, 0.0)
    assert bench.polled().records == [], "from before the seek, or behind it while nobody knew"
    assert bench.client.sought == [(KEPT, 2), (KEPT, 2)]
    assert KEPT not in bench.polled().positions


def test_without_a_seek_the_fetch_is_handed_over_whole_with_where_it_ends() -> None:
    bench = Bench(messages(1, 10, 3), messages(1, 13, 2), lambda _: None)
    bench.reader.fetch(100, 0.0)
    assert [record.offset() for record in bench.polled().records] == [10, 11, 12, 13, 14]
    assert bench.polled().positions == {KEPT: 15}
    assert bench.client.sought == []


def test_a_new_partition_is_known_and_paused_before_it_is_assigned() -> None:
    bench = Bench([], [], lambda _: None)
    bench.reader._assigned(bench.client, [KafkaPartition(*KEPT)])  # type: ignore[arg-type]
    assert bench.client.calls == ["position", "pause", "incremental_assign"]


def test_a_partition_that_the_client_has_not_taken_up_yet_is_sought_again() -> None:
    """Right after an assignment, and the more often the busier the machine is, the client refuses a seek."""
    bench = Bench([], [], lambda _: None)
    bench.client.unready = 3
    bench.reader.seek({KEPT: 7})
    assert bench.client.sought == [(KEPT, 7)]


def test_a_partition_that_cannot_be_sought_is_started_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_reader, "_patiently", lambda seek, partition: seek(partition))
    bench = Bench([], [], lambda _: None)
    bench.client.unready = 1
    with pytest.raises(TransientError, match=r"events.raw\[1\] cannot be read from offset 7 yet"):
        bench.reader.seek({KEPT: 7})


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> KafkaBroker:
    made = KafkaBroker(SETTINGS)
    monkeypatch.setattr(made._reader, "seek", lambda offsets: None)
    return made


async def test_a_position_never_passes_what_was_polled(broker: KafkaBroker) -> None:
    broker._events.append(Polled(batch(b"x", partition=1, first=7), 0, None, {}, {KEPT: 8}))
    assert await broker.positions([KEPT]) == {}, "fetched, and not handed over yet"
    await broker.poll(100, 0.0)
    assert await broker.positions([KEPT]) == {KEPT: 8}
    broker._worker.stop()


async def test_what_waits_to_be_polled_is_dropped_by_a_seek(broker: KafkaBroker) -> None:
    records = [*batch(b"x", partition=0, first=3), *batch(b"y", partition=1, first=7)]
    broker._events.append(Polled(records, 0, None, {HELD: 4, KEPT: 8}, {HELD: 4, KEPT: 8}))
    await broker.seek({KEPT: 2})
    polled = await broker.poll(100, 0.0)
    assert isinstance(polled, Polled)
    assert [(record.partition(), record.offset()) for record in polled.records] == [(0, 3)]
    assert polled.ends == {HELD: 4}
    assert await broker.positions([HELD, KEPT]) == {HELD: 4, KEPT: 2}
    broker._worker.stop()


def test_what_a_member_keeps_is_fetched_again_as_soon_as_a_rebalance_is_over() -> None:
    bench = Bench([], [], lambda bench: None)
    bench.reader.fetch(100, 0.0)
    assert bench.client.calls[:2] == ["assignment", WAKES]


def test_what_is_resumed_is_fetched_at_once() -> None:
    bench = Bench([], [], lambda bench: None)
    bench.reader.resume([KEPT])
    assert bench.client.calls == ["resume", WAKES]
