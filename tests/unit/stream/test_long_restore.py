"""A long restore: the member stays in its group, what it held before goes on, and how far it is can be seen."""

import asyncio
from collections.abc import Callable, Sequence

from penstock.metrics import Metrics
from penstock.stream.port import Assigned, Event, Lost, Record, Revoked, TopicPartition
from penstock.stream.settings import LoopSettings
from penstock.testing import MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import GROUP, IN, LOG, OUT, STAGE, Blank, PassOn, cluster, loop_of

RECORDS = 40_000
A_READ_S = 1.0
MOST_BETWEEN_POLLS_S = 5.0
"""A tenth of what the restore takes: a member that did not poll meanwhile would be thrown out."""


class Notes(Blank):
    """Remembers how many records of its changelog it was given."""

    def __init__(self, topic_id: str) -> None:
        self._topic_id = topic_id
        self.restored_records: dict[int, int] = {}

    def restore(self, partition: int, records: Sequence[Record]) -> None:
        self.restored_records[partition] = self.restored_records.get(partition, 0) + len(records)

    def restored(self, partition: int) -> tuple[str, int] | None:
        return self._topic_id, 0


class SlowReads(MemoryBroker):
    """Each read outside the group takes a second; what it is given and what it loses is noted."""

    given: frozenset[TopicPartition] = frozenset()
    lost: frozenset[TopicPartition] = frozenset()

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        event = await super().poll(max_records, timeout_s)
        if isinstance(event, Assigned):
            self.given |= event.partitions
        if isinstance(event, Lost):
            self.lost |= event.partitions
        return event

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        await asyncio.sleep(A_READ_S)
        return await super().read(partition, start, end, max_records)


async def sit(broker: MemoryBroker, stop: asyncio.Event) -> None:
    """A member that does nothing but be one."""
    await broker.start()
    while not stop.is_set():
        if isinstance(event := await broker.poll(1, 0.1), Revoked):
            event.ack()
    await broker.close()


def value(metrics: Metrics, name: str, tp: TopicPartition) -> float | None:
    labels = {"stage": STAGE, "topic": tp.topic, "partition": str(tp.partition)}
    return metrics.registry.get_sample_value(name, labels)


def test_a_long_restore_keeps_the_member_alive_and_its_other_partitions_going_and_says_how_far_it_is() -> None:
    async def story() -> None:
        on = cluster(partitions=2)
        on.create_topic(LOG, 2)
        stop_sitting, stop = asyncio.Event(), asyncio.Event()
        sitting = asyncio.create_task(sit(MemoryBroker(on, topics=(IN,), group=GROUP, name="other"), stop_sitting))
        broker = SlowReads(
            on, topics=(IN,), group=GROUP, transactional_id="tx", max_poll_interval_s=MOST_BETWEEN_POLLS_S
        )
        metrics, state = Metrics(), Notes(on.topic(IN).topic_id)
        loop = loop_of(on, PassOn(), LoopSettings(STAGE), broker, state, metrics)
        running = asyncio.create_task(loop.run(stop))
        await until(lambda: loop.ready and len(broker.given) == 1)
        (held,) = broker.given
        coming = TopicPartition(IN, 1 - held.partition)
        on.send([outgoing(LOG, partition=coming.partition)] * RECORDS)
        stop_sitting.set()
        await sitting
        await until(lambda: value(metrics, "penstock_restore_remaining", coming) is not None)
        seen, began_s = [RECORDS + 1.0], on.now_s
        while not loop.ready:
            seen.append(value(metrics, "penstock_restore_remaining", coming) or 0.0)
            before = len(on.records(OUT))
            on.send([outgoing(IN, b"x", partition=held.partition)])
            await until(lambda: len(on.records(OUT)) > before)  # noqa: B023  waited for here
            assert seen[-1] <= seen[-2], "it comes nearer"
        took_s = on.now_s - began_s
        assert took_s > 10 * MOST_BETWEEN_POLLS_S
        assert len(seen) > took_s / 3, "what it held before went on all the while"
        assert state.restored_records[coming.partition] == RECORDS
        assert broker.lost == frozenset()
        await until(lambda: value(metrics, "penstock_restored", coming) is None)
        stop.set()
        await running

    run_in_virtual_time(story())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110  nothing to wait for
            await asyncio.sleep(0.05)
