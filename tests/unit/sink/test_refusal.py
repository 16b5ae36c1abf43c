"""Rows that Postgres refuses leave the buffer only together with their dead letters."""

from collections.abc import Sequence
from typing import cast

import pytest

from penstock.clock import SystemClock
from penstock.errors import TransientError
from penstock.stream.handler import RefusedError
from penstock.stream.port import TopicPartition
from services.sink.policy import FlushPolicy
from services.sink.postgres.columns import Cells
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import CopyRefusedError, Span, Store
from tests.unit.sink.feeding import P0, P1, TOPIC_IDS, intake, records


class FaultyStore:
    """Refuses the first row of each partition; the search for it breaks off at the second partition, once."""

    def __init__(self) -> None:
        self.breaks = True
        self.searched = 0

    async def positions(self, partitions: Sequence[TopicPartition], _: object) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def put(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        raise CopyRefusedError

    async def refused(self, rows: Sequence[Cells]) -> list[tuple[int, Exception]]:
        self.searched += 1
        if self.breaks and self.searched == 2:
            self.breaks = False
            raise TransientError("the database went away")
        return [(0, ValueError("a row at fault"))]


async def test_a_search_that_breaks_off_loses_no_row() -> None:
    policy = FlushPolicy(10, 10_000_000, 1, 1, together=True)
    sink = PostgresSink(intake(), cast("Store", FaultyStore()), policy, SystemClock())
    await sink.positions([P0, P1], TOPIC_IDS)
    await sink.add([*records(2, P0), *records(2, P1)])
    with pytest.raises(TransientError):
        await sink.flush({P0: 2, P1: 2})
    with pytest.raises(RefusedError) as refused:
        await sink.flush({P0: 2, P1: 2})
    assert [(dead.record.partition(), dead.record.offset()) for dead in refused.value.dead] == [(0, 0), (1, 0)]
