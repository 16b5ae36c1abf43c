"""What is older than its topic keeps it goes, and who still wants it is told.

In memory alone: real Kafka retains when it comes to it, and no row of the contract can wait for that.
"""

import pytest

from penstock.errors import SystemFaultError
from penstock.stream.port import Assigned, Outgoing, TopicPartition
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time

TP = TopicPartition("in", 0)
DAY_MS = 86_400_000


def cluster_with(*ages_ms: int, retention_ms: int | None = DAY_MS) -> Cluster:
    """One record of each age, in this order."""
    cluster = Cluster()
    cluster.create_topic("in", retention_ms=retention_ms)
    now_ms = cluster.clock.now_ms()
    cluster.send([Outgoing("in", None, f"{age}".encode(), [], now_ms - age, 0) for age in ages_ms])
    return cluster


def test_a_record_is_gone_once_it_is_older_than_its_topic_keeps_it() -> None:
    async def run() -> None:
        cluster = cluster_with(DAY_MS + 2, DAY_MS + 1, DAY_MS, 0)
        cluster.retain()
        assert [record.offset() for record in cluster.records("in")] == [2, 3]
        assert await MemoryBroker(cluster).begin_offsets([TP]) == {TP: 2}

    run_in_virtual_time(run())


def test_a_younger_record_keeps_the_older_ones_behind_it() -> None:
    async def run() -> None:
        cluster = cluster_with(0, DAY_MS + 1)
        cluster.retain()
        assert len(cluster.records("in")) == 2

    run_in_virtual_time(run())


def test_a_topic_without_retention_keeps_everything() -> None:
    async def run() -> None:
        cluster = cluster_with(400 * DAY_MS, retention_ms=None)
        cluster.retain()
        assert len(cluster.records("in")) == 1

    run_in_virtual_time(run())


def test_a_reader_at_an_offset_that_retention_took_is_told_that_it_is_gone() -> None:
    """As tests/contract has it of records that somebody deleted."""

    async def run() -> None:
        cluster = cluster_with(DAY_MS + 1, 0)
        reader = MemoryBroker(cluster, topics=["in"], group="g")
        await reader.start()
        assert isinstance(await reader.poll(10, 1.0), Assigned)
        cluster.retain()
        await reader.seek({TP: 0})
        await reader.resume([TP])
        with pytest.raises(SystemFaultError, match="offset 0 is not there"):
            await reader.poll(10, 1.0)

    run_in_virtual_time(run())
