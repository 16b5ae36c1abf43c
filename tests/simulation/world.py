"""A run: one cluster, several processes of a stage, a plan of faults, and the end, when all has to be right."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
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
from tests.simulation.process import Process, SkewedClock
from tests.simulation.size import DRAWN, Size
from tests.simulation.stepped import KilledError, start_unowned
from tests.simulation.stores import Database, FaultyObjects, FaultyTable

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
    table: type[FaultyTable] = FaultyTable
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
        is_sink: its store's own offset is the truth, not the group's.
    """

    name: str
    inputs: tuple[str, ...]
    build: Callable[["World", Process, FaultyBroker], Runtime]
    slots: int
    is_sink: bool = False

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
    def __init__(
        self, plan: Plan, chance: Random, trace: Callable[[str], None] | None = None, size: Size = DRAWN
    ) -> None:
        self.plan = plan
        self.chance = chance
        self.trace = trace
        self._slow_until_s = 0.0
        self._markers_take_s = chance.choice((0.0, 0.0, 0.0, 0.2, 1.0))
        if size.steady:
            self._markers_take_s = 0.0
        clock = SimulatedClock(asyncio.get_running_loop())
        self.cluster = Cluster(clock, timings=TIMINGS, marker_delay_s=self._marker_delay_s)
        self.slots: list[Slot] = []
        self.over = False
        self.expected_stop = ""
        """What a stage has to say that is right to stop; empty if none is."""
        self.excused = "max.poll.interval"
        """What a process may say that ends and is started again."""
        self.size = size
        self.max_records = size.draw_max_records(chance)
        self.built = Built()
        self.metrics = _METRICS
        self.source_clocks: list[SkewedClock] = []
        """Of those who write the input; they jump as those of processes do."""
        self._processes: list[Process] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._twins: list[asyncio.Task[None]] = []

    # -- processes -------------------------------------------------------------------------------------------------

    def say(self, what: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.cluster.now_s:8.3f} {what}")

    async def run(
        self, stages: Sequence[Stage], work: Callable[[], Coroutine[Any, Any, None]], drained: Callable[[], bool]
    ) -> None:
        """Starts the stages, does the work while faults strike, waits until all is drained, and stops the stages.

        Raises:
            BrokenError: a stage stopped by itself, or the end never came.
        """
        self.slots = [Slot(stage, number) for stage in stages for number in range(stage.slots)]
        self._keepers = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        jobs = [asyncio.create_task(self._strike(fault)) for fault in self.plan.others]
        jobs.append(asyncio.create_task(work()))
        try:
            await self._first_failure_or(self._all_of(jobs), patience_s=NO_END_S)
            await self._first_failure_or(self.until(self._all_awake))
            if not self.size.steady:  # there they are counted by calls, however late those come
                self.plan.end()
            await self._first_failure_or(self._all_of(self._twins))
            await self._first_failure_or(self.until(drained))
            self.plan.end()
            self.over = True
            for slot in self.slots:
                slot.stop.set()
            await self._first_failure_or(self._all_of(self._keepers))
            await self._first_failure_or(self.until(self._all_decided))
        finally:
            self.over = True
            for process in self._processes:
                process.kill()
            tasks = (*self._keepers, *self._twins, *jobs)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first_failure_or(self, goal: Coroutine[Any, Any, None], patience_s: float = PATIENCE_S) -> None:
        """Waits for the goal; a keeper or a twin that ends with an error before it ends the run."""
        reaching = asyncio.create_task(goal)
        deadline_s = self.cluster.now_s + patience_s
        try:
            while not reaching.done():
                left_s = deadline_s - self.cluster.now_s
                if left_s <= 0:
                    raise BrokenError(f"not done {PATIENCE_S:.0f} s after the last fault; {self._standing()}")
                running = [*self._keepers, *self._twins]
                busy = [task for task in running if not task.done()]
                await asyncio.wait([reaching, *busy], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                for task in running:
                    if task.done():
                        task.result()
            reaching.result()
        finally:
            reaching.cancel()

    @staticmethod
    async def _all_of(tasks: Sequence["asyncio.Future[None]"]) -> None:
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            task.result()

    def _standing(self) -> str:
        lines = []
        for stage in {slot.stage.name: slot.stage for slot in self.slots}.values():
            offsets = self.cluster.committed(stage.group)
            ends = {tp: self.cluster.log(tp).last_stable_offset for tp in offsets}
            lines.append(f"{stage.name}: " + ", ".join(f"{tp} at {at} of {ends[tp]}" for tp, at in offsets.items()))
        return "; ".join(lines)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Raises BrokenError where that takes too long."""
        deadline_s = self.cluster.now_s + PATIENCE_S
        while not condition():
            if self.cluster.now_s > deadline_s:
                raise BrokenError(f"not done after {PATIENCE_S:.0f} s; {self._standing()}")
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
        name = f"{slot.stage.name}.{slot.number}#{len(self._processes) + 1}"
        process = Process(
            name,
            self.cluster,
            self.plan,
            self._latency_s,
            lambda fault: self._befall(slot, process, fault),
            self.say,
        )
        self._processes.append(process)
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
            await process.run(runtime.run(stop))
        except KilledError:
            raise
        except Exception as error:
            process.kill()
            if self.expected_stop and re.search(self.expected_stop, str(error)):
                slot.ended = True
                return
            if classify(error) is not Category.TRANSIENT and not re.search(self.excused, str(error)):
                raise BrokenError(f"{process.name} stopped: {type(error).__name__}: {error}") from error
            self.say(f"{process.name} ended: {error}")
            raise KilledError(process.name) from error
        finally:
            process.dead = True
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
        self._befall(slot, process, fault)

    def _befall(self, slot: Slot, process: Process, fault: Fault) -> None:
        group = self.cluster.group(slot.stage.group)
        match fault.kind:
            case "clock jump":
                clocks = [process.clock, *self.source_clocks]
                jump_ms = int(fault.length_s * 1000) * (-1 if fault.number % 2 else 1)
                clocks[fault.number // 2 % len(clocks)].skew_ms += jump_ms
            case "scale down":
                slot.away_until_s = max(slot.away_until_s, self.cluster.now_s + fault.length_s)
                slot.stop.set()
            case "thrown out of the group":
                group.leave(process.name)
                self._tell(process, fault)
            case "rebalance":
                group.rebalance(shuffled=True)
                self._tell(process, fault)
            case "second process of one id":
                self._twins.append(start_unowned(self._usurp(slot, fault.length_s)))
            case "markers late":
                self._slow_until_s = self.cluster.now_s + fault.length_s
            case "coordinator moves":
                self.cluster.move_coordinators(fault.length_s)
            case "group offset moved" if slot.stage.is_sink:
                self._move_offsets(slot.stage, fault)

    def _tell(self, process: Process, fault: Fault) -> None:
        """Half of the time at once; else it hears of it in its own time, and goes on in good faith until then."""
        if fault.number % 2:
            process.hears_of_its_group()

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

    def _move_offsets(self, stage: Stage, fault: Fault) -> None:
        """A commit of somebody who no longer owns the partitions, which the group takes; or an administrator's."""
        ends = {tp: self.cluster.log(tp).high_watermark for topic in stage.inputs for tp in self.partitions(topic)}
        moved = {tp: (fault.number * 7 + tp.partition) % (end + 1) for tp, end in ends.items()}
        self.cluster.group_offsets(stage.group).commit(moved)

    def _latency_s(self) -> float:
        """Of one call, there or back."""
        if self.size.steady:
            return 0.001
        die = self.chance.random()
        if die < 0.9:
            return 0.0002 + die * 0.002
        return 0.01 if die < 0.98 else 0.15

    def _marker_delay_s(self) -> float:
        if self.cluster.now_s < self._slow_until_s:
            return self.chance.uniform(0.5, 2.0)
        if self.size.steady:
            return 0.0
        die = self.chance.random()
        return self._markers_take_s * die + (0.0 if die < 0.7 else 0.02 * die if die < 0.98 else 0.4)

    # -- what everyone may ask -------------------------------------------------------------------------------------

    def _all_awake(self) -> bool:
        """What a process does that wakes may still go wrong."""
        return not any(process.frozen and not process.dead for process in self._processes)

    def _all_decided(self) -> bool:
        """The last transactions' markers have reached all topics."""
        logs = [log for topic in self.cluster.topics.values() for log in topic.logs]
        return all(log.last_stable_offset == log.high_watermark for log in logs)

    def is_drained(self, stage: Stage) -> bool:
        """Nothing that can be read is uncommitted, nothing is pending."""
        return self.cluster.is_drained(stage.group, *stage.inputs)

    @property
    def offsets_were_moved(self) -> bool:
        """Somebody else has set a sink's group offsets: they say nothing until the sink stores more."""
        return any(name.startswith("group offset moved") for name in self.plan.struck)

    async def all_away(self, length_s: float) -> None:
        """Every process stops, and none is started for so long; returns when the last one is gone."""
        for slot in self.slots:
            slot.away_until_s = self.cluster.now_s + length_s
            slot.stop.set()
        await self.until(lambda: all(process.dead for process in self._processes))

    def partitions(self, topic: str) -> list[TopicPartition]:
        return self.cluster.topic(topic).partitions
