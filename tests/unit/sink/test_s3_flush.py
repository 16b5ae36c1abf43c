"""A flush of several partitions to the lake of which one fails."""

from collections.abc import Sequence
from typing import cast

import pytest
from obstore.store import MemoryStore

from penstock.clock import SystemClock
from penstock.errors import TransientError
from penstock.lake.layout import Chain
from penstock.stream.handler import Flushed
from services.sink.policy import FlushPolicy
from services.sink.s3.buffer import Group
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer
from tests.unit.sink.feeding import P0, P1, TOPIC_IDS, intake, records


class FailingOnce:
    """A writer that cannot commit partition 1, the first time."""

    def __init__(self) -> None:
        self.fails = True

    async def commit(self, chain: Chain, start: int, end: int, groups: Sequence[Group]) -> int:
        if chain.partition == 1 and self.fails:
            self.fails = False
            raise TransientError("the store went away")
        return end


async def half_flushed() -> S3Sink:
    """It could store what it holds of one partition, and not what it holds of the other."""
    policy = FlushPolicy(10, 10_000_000, 0, 0, together=False)
    sink = S3Sink(intake(), MemoryStore(), cast("Writer", FailingOnce()), policy, SystemClock(), timeout_s=10)
    await sink.positions([P0, P1], TOPIC_IDS)
    await sink.add([*records(2, P0), *records(2, P1)])
    with pytest.raises(TransientError):
        await sink.flush({P0: 2, P1: 2})
    return sink


async def test_what_was_stored_beside_a_failure_is_said_although_nothing_more_comes() -> None:
    sink = await half_flushed()
    assert set(sink.due(1e9)) == {P0, P1}
    assert await sink.flush({P0: 2, P1: 2}) == {P0: Flushed(2, ours=True), P1: Flushed(2, ours=True)}
    assert set(sink.due(1e9)) == set()


async def test_what_is_given_away_is_not_said_any_more() -> None:
    sink = await half_flushed()
    sink.drop([P0])
    assert set(sink.due(1e9)) == {P1}
