"""Retries of what a loop asks Kafka for: each one counted, by why it was needed."""

from collections.abc import Collection, Mapping

import pytest

from penstock.metrics import RETRIES, Metrics
from penstock.stream.port import Event, Outcome, TopicPartition
from penstock.stream.verdicts import COORDINATOR, LEADER
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import (
    GROUP,
    IN,
    OUT,
    STAGE,
    PassOn,
    Shelf,
    cluster,
    ending,
    loop_of,
    running,
    sink_loop_of,
)


def retries(table: Metrics) -> dict[tuple[str, str], float]:
    """By dependency and cause."""
    return {
        (sample.labels["dependency"], sample.labels["cause"]): sample.value
        for family in table.counter(RETRIES).collect()
        for sample in family.samples
        if sample.name == "penstock_retries_total" and sample.labels["stage"] == STAGE
    }


class Stumbling(MemoryBroker):
    """Each of these calls fails the first time."""

    def __init__(self, on: Cluster) -> None:
        super().__init__(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        self._left = {"start", "stable_offsets", "poll", "topic_id"}

    def _stumble(self, call: str) -> None:
        if call in self._left:
            self._left.remove(call)
            raise (COORDINATOR if call == "stable_offsets" else LEADER).error(f"{call} failed")

    async def start(self) -> None:
        self._stumble("start")
        await super().start()

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        self._stumble("poll")
        return await super().poll(max_records, timeout_s)

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        self._stumble("stable_offsets")
        return await super().stable_offsets(partitions)

    async def topic_id(self, topic: str) -> str:
        self._stumble("topic_id")
        return await super().topic_id(topic)


def test_a_stage_counts_each_call_to_kafka_that_it_makes_again() -> None:
    async def story() -> None:
        on, table = cluster(), Metrics()
        on.send([outgoing(IN, b"x")])
        await running(
            loop_of(on, PassOn(), broker=Stumbling(on), metrics=table), until=lambda: on.is_drained(GROUP, IN)
        )
        assert retries(table) == {("kafka", LEADER.name): 3, ("kafka", COORDINATOR.name): 1}

    run_in_virtual_time(story())


def test_a_sink_counts_each_call_to_kafka_that_it_makes_again() -> None:
    async def story() -> None:
        on, table, shelf = cluster(), Metrics(), Shelf()
        on.send([outgoing(IN, b"x")])
        await running(sink_loop_of(on, shelf, broker=Stumbling(on), metrics=table), until=lambda: bool(shelf.stored))
        assert retries(table) == {("kafka", LEADER.name): 3}

    run_in_virtual_time(story())


@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.FENCED, Outcome.UNKNOWN])
def test_a_commit_that_has_to_be_made_again_is_counted_by_how_it_ended(outcome: Outcome) -> None:
    async def story() -> None:
        on, table = cluster(), Metrics()
        on.send([outgoing(IN, b"x")])
        broker = ending(on, outcome, outcome)
        await running(loop_of(on, PassOn(), broker=broker, metrics=table), until=lambda: len(on.records(OUT)) == 1)
        assert retries(table) == {("kafka", f"commit {outcome.value}"): 2}

    run_in_virtual_time(story())
