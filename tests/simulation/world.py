"""A run: one cluster, several processes of a stage, a plan of faults, and the end, when all has to be right."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from penstock.errors import Category, classify
from penstock.metrics import Metrics
from penstock.stream.assignment import Assignment
from penstock.stream.loop import Loop
from penstock.stream.port import TopicPartition
from penstock.stream.restore import Restore
from penstock.stream.sink_loop import SinkLoop
from penstock.testing import Cluster, MemoryBroker, Timings
from penstock.testing.loop_clock import START_MS
from services.dedup.state import SeenState
from tests.simulation.faults import Fault, Plan
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import KilledError, Process
from tests.simulation.stores import Database, FaultyObjects

TIMINGS = Timings(session_s=2.0, heartbeat_s=0.5)
TRANSACTION_TIMEOUT_S = 3.0
MAX_POLL_INTERVAL_S = 6.0
NO_END_S = 30 * 86_400.0
PATIENCE_S = 120.0
"""How long after the last fault everything may take to come right."""


class Runtime(Protocol):
    """What a process runs: a Loop or a SinkLoop."""

    async def run(self, stop: asyncio.Event) -> None: ...


class SimulatedClock:
    """The cluster's clock: as LoopClock, bound to one loop, since it is read a million times."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic_s = loop.time

    def now_ms(self) -> int:
        return START_MS + int(self.monotonic_s() * 1000)


@dataclass(slots=True)
class Built:
    """What the runtime is built of; a mutant changes a part of it."""

    broker: type[FaultyBroker] = FaultyBroker
    loop: type[Loop] = Loop
    sink_loop: type[SinkLoop] = SinkLoop
    assignment: type[Assignment] = Assignment
    restore: type[Restore] = Restore
    state: type[SeenState] = SeenState
    database: type[Database] = Database
    objects: type[FaultyObjects] = FaultyObjects


_METRICS = Metrics()
"""Of all runs together: nobody reads them, and they take long to make."""


class BrokenError(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the chain under test.

    Args:
        build: what a new process of it runs, behind the broker it is given.
        slots: how many processes there may be.
    """

    name: str
    inputs: tuple[str, ...]
    build: Callable[["World", Process, FaultyBroker], Runtime]
    slots: int

    @property
    def group(self) -> str:
        return f"penstock.{self.name}"


@dataclass(slots=True)
class Slot:
    """A place where a process of a stage runs, is restarted when it dies, or stands empty for a while."""

    stage: Stage
    number: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    process: Process | None = None
    away_until_s: float = 0.0
    ended: bool = False
    """Its stage has stopped, as it had to."""


class World:
    def __init__(self, plan: Plan, chance: Random, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.chance = chance
        self.trace = trace
        self._slow_until_s = 0.0
        self._markers_take_s = chance.choice((0.0, 0.0, 0.0, 0.2, 1.0))
        clock = SimulatedClock(asyncio.get_running_loop())
        self.cluster = Cluster(clock, timings=TIMINGS, marker_delay_s=self._marker_delay_s)
        self.slots: list[Slot] = []
        self.over = False
        self.expected_stop = ""
        """What a stage has to say that is right to stop; empty if none is."""
        self.max_records = chance.choice((1, 4, 16, 500))
        self.built = Built()
        self.metrics = _METRICS
        self._started = 0

    # -- processes -------------------------------------------------------------------------------------------------

    def say(self, what: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.cluster.now_s:8.3f} {what}")

    async def run(
        self, stages: Sequence[Stage], work: Callable[[], Awaitable[None]], drained: Callable[[], bool]
    ) -> None:
        """Starts the stages, does the work while faults strike, waits until all is drained, and stops the stages.

        Raises:
            BrokenError: a stage stopped by itself, or the end never came.
        """
        self.slots = [Slot(stage, number) for stage in stages for number in range(stage.slots)]
        keepers = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        jobs = [asyncio.create_task(self._strike(fault)) for fault in self.plan.others]
        jobs.append(asyncio.ensure_future(work()))
        try:
            await self._first_failure_or(asyncio.ensure_future(asyncio.wait(jobs)), keepers, patience_s=NO_END_S)
            for job in jobs:
                job.result()
            self.plan.end()
            await self._first_failure_or(asyncio.ensure_future(self._until(drained)), keepers)
            self.over = True
            for slot in self.slots:
                slot.stop.set()
            await self._first_failure_or(asyncio.ensure_future(asyncio.wait(keepers)), keepers)
            await self._first_failure_or(asyncio.ensure_future(self._until(self._all_decided)), keepers)
        finally:
            for task in (*keepers, *jobs):
                task.cancel()
            await asyncio.gather(*keepers, *jobs, return_exceptions=True)

    async def _first_failure_or(
        self, goal: "asyncio.Future[Any]", keepers: Sequence["asyncio.Task[None]"], patience_s: float = PATIENCE_S
    ) -> None:
        """Waits for the goal; a keeper that ends with an error before it ends the run."""
        deadline_s = self.cluster.now_s + patience_s
        while not goal.done():
            left_s = deadline_s - self.cluster.now_s
            if left_s <= 0:
                raise BrokenError(f"not done {PATIENCE_S:.0f} s after the last fault; {self._standing()}")
            busy = [keeper for keeper in keepers if not keeper.done()]
            await asyncio.wait([goal, *busy], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done() and keeper.exception() is not None:
                    goal.cancel()
                    keeper.result()
        goal.result()

    def _standing(self) -> str:
        lines = []
        for stage in {slot.stage.name: slot.stage for slot in self.slots}.values():
            offsets = self.cluster.committed(stage.group)
            ends = {tp: self.cluster.log(tp).last_stable_offset for tp in offsets}
            lines.append(f"{stage.name}: " + ", ".join(f"{tp} at {at} of {ends[tp]}" for tp, at in offsets.items()))
        return "; ".join(lines)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.25)
            self.cluster.tick()

    async def _keep(self, slot: Slot) -> None:
        """Runs processes in a slot, one after the other, until the run is over."""
        while not self.over:
            wait_s = slot.away_until_s - self.cluster.now_s
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            slot.stop = asyncio.Event()
            process = slot.process = self._process(slot)
            try:
                await self._run(slot, process, slot.stop)
            except KilledError:
                await asyncio.sleep(process.restart_after_s)
            if slot.ended:
                return

    def _process(self, slot: Slot) -> Process:
        self._started += 1
        process = Process(f"{slot.stage.name}.{slot.number}#{self._started}", self.cluster, self.plan, self.chance)
        process.trace = self.say if self.trace is not None else None
        return process

    async def _run(self, slot: Slot, process: Process, stop: asyncio.Event) -> None:
        inner = MemoryBroker(
            self.cluster,
            topics=slot.stage.inputs,
            group=slot.stage.group,
            transactional_id=f"{slot.stage.group}.{slot.number}",
            transaction_timeout_s=TRANSACTION_TIMEOUT_S,
            max_poll_interval_s=MAX_POLL_INTERVAL_S,
            name=process.name,
        )
        self.say(f"{process.name} starts")
        runtime = slot.stage.build(self, process, self.built.broker(process, inner))
        try:
            await runtime.run(stop)
        except KilledError:
            raise
        except Exception as error:
            process.kill()
            if self.expected_stop and re.search(self.expected_stop, str(error)):
                slot.ended = True
                return
            if classify(error) is not Category.TRANSIENT and "max.poll.interval" not in str(error):
                raise BrokenError(f"{process.name} stopped: {type(error).__name__}: {error}") from error
            self.say(f"{process.name} ended: {error}")
            raise KilledError(process.name) from error
        self.say(f"{process.name} stopped")

    # -- what befalls processes and the cluster --------------------------------------------------------------------

    async def _strike(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        slot = self.slots[fault.number % len(self.slots)]
        process = slot.process
        if process is None or process.dead:
            return
        self.say(str(fault))
        self.plan.note(fault)
        match fault.kind:
            case "clock jump":
                process.clock.skew_ms += int(fault.length_s * 1000) * (-1 if fault.number % 2 else 1)
            case "scale down":
                slot.away_until_s = max(slot.away_until_s, self.cluster.now_s + fault.length_s)
                slot.stop.set()
            case "evict":
                self.cluster.group(slot.stage.group).leave(process.name)
            case "shuffle":
                self.cluster.group(slot.stage.group).rebalance(shuffled=True)
            case "usurp":
                await self._usurp(slot, fault.length_s)
            case "coordinator slow":
                self._slow_until_s = self.cluster.now_s + fault.length_s

    async def _usurp(self, slot: Slot, length_s: float) -> None:
        """A second process under the same transactional id: somebody believed the first one dead."""
        stop = asyncio.Event()
        twin = asyncio.create_task(self._run(slot, self._process(slot), stop))
        await asyncio.wait([twin], timeout=length_s)
        stop.set()
        try:
            await twin
        except KilledError:
            return

    def _marker_delay_s(self) -> float:
        if self.cluster.now_s < self._slow_until_s:
            return self.chance.uniform(0.5, 2.0)
        die = self.chance.random()
        return self._markers_take_s * die + (0.0 if die < 0.7 else 0.02 * die if die < 0.98 else 0.4)

    # -- what everyone may ask -------------------------------------------------------------------------------------

    def _all_decided(self) -> bool:
        """The last transactions' markers have reached all topics."""
        logs = [log for topic in self.cluster.topics.values() for log in topic.logs]
        return all(log.last_stable_offset == log.high_watermark for log in logs)

    def is_drained(self, stage: Stage) -> bool:
        """Nothing that can be read is uncommitted, nothing is pending."""
        return self.cluster.is_drained(stage.group, *stage.inputs)

    def partitions(self, topic: str) -> list[TopicPartition]:
        return self.cluster.topic(topic).partitions
