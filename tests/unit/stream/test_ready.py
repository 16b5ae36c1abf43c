"""A loop is ready once it has partitions and what they need is restored, and no sooner: /readyz goes by it."""

import asyncio
from collections.abc import Sequence

from penstock.stream.loop import Loop
from penstock.stream.port import Assigned, Event, Record
from penstock.stream.sink_loop import SinkLoop
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import GROUP, IN, LOG, Blank, PassOn, Shelf, cluster, loop_of, running, sink_loop_of

RESTORE_S = 5.0


class Watched(MemoryBroker):
    """Takes its time to read a changelog; notes whether the loop says that it is ready."""

    def __init__(self, on: Cluster) -> None:
        super().__init__(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        self.loop: Loop | SinkLoop | None = None
        self.said: dict[str, set[bool]] = {"unassigned": set(), "assigned": set(), "restoring": set()}
        self._phase = "unassigned"

    def note(self, phase: str) -> None:
        assert self.loop is not None
        self.said[phase].add(self.loop.ready)

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        self.note(self._phase)
        event = await super().poll(max_records, timeout_s)
        if isinstance(event, Assigned):
            self.note("unassigned")
            self._phase = "assigned"
        return event

    async def read(self, *args: object) -> Sequence[Record]:
        self.note("restoring")
        await asyncio.sleep(RESTORE_S)
        self.note("restoring")
        return await super().read(*args)  # type: ignore[arg-type]  # passed on as they came


def test_a_stage_is_not_ready_before_it_has_partitions_nor_while_it_restores() -> None:
    async def story() -> None:
        on = cluster()
        on.create_topic(LOG)
        on.send([outgoing(IN, b"x")])
        broker = Watched(on)
        broker.loop = loop = loop_of(on, PassOn(), broker=broker, state=Blank())
        await running(loop, until=lambda: on.is_drained(GROUP, IN) and loop.ready)
        assert broker.said["unassigned"] == {False}
        assert broker.said["restoring"] == {False}
        assert True in broker.said["assigned"]
        assert on.now_s >= RESTORE_S

    run_in_virtual_time(story())


def test_a_sink_is_not_ready_before_it_has_partitions() -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, b"x")])
        broker, shelf = Watched(on), Shelf()
        broker.loop = sink_loop_of(on, shelf, broker=broker)
        await running(broker.loop, until=lambda: shelf.stored == [b"x"])
        assert broker.said["unassigned"] == {False}
        assert True in broker.said["assigned"]

    run_in_virtual_time(story())
