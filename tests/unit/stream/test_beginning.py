"""A loop begins when the broker does, and a stop ends the waiting for it."""

import asyncio

import pytest

from penstock.errors import TransientError
from penstock.stream.settings import LoopSettings
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import GROUP, IN, OUT, STAGE, PassOn, Shelf, cluster, loop_of, running, sink_loop_of

SETTINGS = LoopSettings(STAGE, backoff_start_s=1.0, backoff_max_s=8.0)


class Slow(MemoryBroker):
    """Does not start before `starts_at_s`."""

    starts_at_s = 100.0
    tries = 0

    def __init__(self, on: Cluster) -> None:
        super().__init__(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        self._on = on

    async def start(self) -> None:
        self.tries += 1
        if self._on.now_s < self.starts_at_s:
            raise TransientError("Not coordinator")
        await super().start()


@pytest.mark.parametrize("kind", ["stage", "sink"])
def test_a_broker_that_is_away_at_the_start_is_waited_for(kind: str) -> None:
    async def run() -> None:
        on = cluster()
        on.send([outgoing(IN, b"one")])
        broker, shelf = Slow(on), Shelf()
        loop = loop_of(on, PassOn(), SETTINGS, broker) if kind == "stage" else sink_loop_of(on, shelf, SETTINGS, broker)
        await running(loop, lambda: on.is_drained(GROUP, IN))
        assert len(on.records(OUT)) == (kind == "stage")
        assert len(shelf.stored) == (kind == "sink")
        assert 5 < broker.tries < 20, "it is asked, and not all the time"

    run_in_virtual_time(run())


def test_a_stop_ends_the_waiting() -> None:
    async def run() -> None:
        on = cluster()
        broker, stop = Slow(on), asyncio.Event()
        waiting = asyncio.create_task(loop_of(on, PassOn(), SETTINGS, broker).run(stop))
        await asyncio.sleep(10)
        stop.set()
        await waiting
        assert on.now_s < broker.starts_at_s

    run_in_virtual_time(run())
