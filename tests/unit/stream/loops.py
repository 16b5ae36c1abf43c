"""Both loops on the in-memory broker, in virtual time, with a handler and a sink that are no more than they need be."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from penstock.errors import DataError
from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Dead, Flushed, Handler, Output, RefusedError, Sink, State
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Broker, Membership, Outcome, Outgoing, Record, TopicPartition
from penstock.stream.settings import LoopSettings
from penstock.stream.sink_loop import SinkLoop
from penstock.testing import Cluster, MemoryBroker
from penstock.testing.builders import outgoing
from penstock.testing.drain import encode_letter

IN, OUT, STAGE, LOG = "in", "out", "stage", "log"
GROUP = f"penstock.{STAGE}"
DEAD = f"dlq.{STAGE}"
PATIENCE_S = 600.0
BAD = b"bad"
REFUSED = b"refused"
"""The sink takes it in, and its store does not."""


def cluster(partitions: int = 1) -> Cluster:
    made = Cluster()
    made.create_topic(IN, partitions)
    made.create_topic(OUT, partitions)
    made.create_topic(DEAD)
    made.start_at_zero(GROUP, IN)
    return made


class PassOn:
    """Bad records are dead, all others go on; a batch takes `takes_s` of simulated time."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s

    async def process(self, batch: Sequence[Record]) -> Output:
        await asyncio.sleep(self._takes_s)
        good = [record for record in batch if record.value() != BAD]
        dead = [Dead(record, DataError("bad", "it is bad")) for record in batch if record.value() == BAD]
        return Output(forward={OUT: good} if good else {}, dead=dead)


class Shelf:
    """A store and its sink in one: it is as exact as a sink has to be, and flushes whenever it holds something."""

    def __init__(self) -> None:
        self.stored: list[bytes | None] = []
        self.next: dict[TopicPartition, int] = {}
        self._held: dict[TopicPartition, list[Record]] = {}

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        return {tp: self.next.get(tp, 0) for tp in partitions}

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        for record in batch:
            if record.value() != BAD:
                self._held.setdefault(TopicPartition(record.topic(), record.partition()), []).append(record)
        return [Dead(record, DataError("bad", "it is bad")) for record in batch if record.value() == BAD]

    def due(self, now_s: float) -> Collection[TopicPartition]:
        return list(self._held)

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        refused = [one for tp in ends for one in self._held.get(tp, []) if one.value() == REFUSED]
        if refused:
            for tp in ends:
                self._held[tp] = [one for one in self._held.get(tp, []) if one.value() != REFUSED]
            raise RefusedError([Dead(one, DataError("refused", "the store refuses it")) for one in refused])
        for tp, end in ends.items():
            self.stored += [record.value() for record in self._held.pop(tp, [])]
            self.next[tp] = end
        return {tp: Flushed(end, ours=True) for tp, end in ends.items()}

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self._held.pop(tp, None)

    async def close(self) -> None: ...


class Blank:
    """A state that holds nothing, and says so after every transaction."""

    changelog = LOG

    def restore(self, partition: int, records: Sequence[Record]) -> None: ...

    def restored(self, partition: int) -> tuple[str, int] | None:
        return None

    def begin(self, partition: int, topic_id: str) -> None: ...

    def checkpoint(self, topic_id: str, positions: Mapping[int, int]) -> Sequence[Outgoing]:
        return [outgoing(LOG, partition=partition) for partition in positions]

    def committed(self) -> None: ...

    def expired(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        return {}

    def undo(self) -> None: ...

    def drop(self, partitions: Collection[int]) -> None: ...


class Ending(MemoryBroker):
    """Its first commits end as it is told."""

    outcomes: Sequence[Outcome] = ()

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        if not self.outcomes:
            return await super().commit(offsets, membership)
        outcome, *self.outcomes = self.outcomes
        if outcome is Outcome.ABORTED:
            return await self.abort()
        return outcome


def ending(on: Cluster, *outcomes: Outcome) -> Ending:
    broker = Ending(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
    broker.outcomes = outcomes
    return broker


def broker_of(on: Cluster, slot: int = 0) -> MemoryBroker:
    return MemoryBroker(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.{slot}", name=f"member-{slot}")


def loop_of(
    on: Cluster,
    handler: Handler,
    settings: LoopSettings | None = None,
    broker: Broker | None = None,
    state: State | None = None,
    metrics: Metrics | None = None,
) -> Loop:
    return Loop(
        broker or broker_of(on),
        handler,
        _letters(on),
        settings or LoopSettings(STAGE),
        on.clock,
        Meter(STAGE, metrics or Metrics(), on.clock),
        state,
    )


def sink_loop_of(
    on: Cluster,
    sink: Sink,
    settings: LoopSettings | None = None,
    broker: Broker | None = None,
    metrics: Metrics | None = None,
) -> SinkLoop:
    return SinkLoop(
        broker or broker_of(on),
        sink,
        _letters(on),
        settings or LoopSettings(STAGE),
        on.clock,
        Meter(STAGE, metrics or Metrics(), on.clock),
    )


def _letters(on: Cluster) -> DeadLetters:
    return DeadLetters(STAGE, encode_letter, {IN: on.topic(IN).topic_id}, on.clock)


async def running(loop: Loop | SinkLoop, until: Callable[[], bool]) -> None:
    """Runs the loop until the condition holds, then stops it as a signal does.

    Raises:
        PenstockError: it stopped by itself, and why.
    """
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(PATIENCE_S):
        while not until():
            await asyncio.wait([task], timeout=0.01)
            if task.done():
                return task.result()
    stop.set()
    return await task
