"""One process of the simulation: its border with the world, where it is delayed, stopped or killed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from penstock.clock import Clock
from penstock.errors import TransientError
from penstock.testing import Cluster
from tests.simulation.faults import AWAIT, LOCAL_CALLS, WORLD_KINDS, Fault, Plan
from tests.simulation.stepped import KilledError, start_owned, waits_at

AT_LEAST_A_STEP_S = 1e-9


class Line(Protocol):
    """To the cluster."""

    @property
    def in_transaction(self) -> bool: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def hear(self) -> None: ...
    def die(self) -> None: ...


class SkewedClock:
    """A process's own clock: `skew_ms` off the broker's."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self.monotonic_s = base.monotonic_s
        self.skew_ms = 0

    def now_ms(self) -> int:
        return self._base.now_ms() + self.skew_ms


class Process:
    """Every call that a process makes to the world passes `enter` and `leave`, and each step of its tasks `at_await`.

    Args:
        latency_s: how long the next call takes, there or back.
        befall: what becomes of a fault that strikes the process from outside.
        say: where a trace goes.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        plan: Plan,
        latency_s: Callable[[], float],
        befall: Callable[[Fault], None],
        say: Callable[[str], None],
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.plan = plan
        self.clock = SkewedClock(cluster.clock)
        self.dead = False
        self.frozen = False
        self.restart_after_s = 0.5
        self._latency_s = latency_s
        self._befall = befall
        self._say = say
        self._lines: list[Line] = []
        self._main: asyncio.Task[None] | None = None
        self._body: Coroutine[Any, Any, None] | None = None
        self._thaws_s = 0.0
        self._held: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    async def run(self, body: Coroutine[Any, Any, None]) -> None:
        """Until its end.

        Raises:
            KilledError: it was killed.
        """
        self._body = body
        self._main = start_owned(self, body)
        await self._main

    def owns(self, line: Line) -> None:
        """What stops sending heartbeats when the process stops."""
        self._lines.append(line)

    # -- what strikes it -------------------------------------------------------------------------------------------

    async def enter(self, call: str) -> Fault | None:
        """Before a call. Returns a fault that only the caller knows how to play."""
        self._check()
        fault = self.plan.due(call, self.cluster.now_s)
        if fault is not None:
            await self._suffer(fault)
        await self._pass(self._latency_s())
        return fault

    async def leave(self, call: str) -> None:
        """After a call, before its answer is known."""
        self._check()
        fault = self.plan.due(call, self.cluster.now_s, after=True)
        if fault is not None:
            await self._suffer(fault)
        if call not in LOCAL_CALLS:
            await self._pass(self._latency_s())

    def passes(self, call: str, *, after: bool) -> None:
        """Before or after a call that takes no time: all that can happen there is that the process dies."""
        self._check()
        fault = self.plan.due(call, self.cluster.now_s, after=after)
        if fault is not None:
            self._die_of(fault)
            raise KilledError(self.name)

    def at_await(self, coroutine: object) -> None:
        if not self.plan.strikes_awaits:
            return
        fault = self.plan.due(AWAIT, self.cluster.now_s)
        if fault is None:
            return
        self.plan.places.update(waits_at(coroutine))
        self.plan.places.update(waits_at(self._body))
        self._say(f"{self.name}: {fault}")
        if fault.kind == "kill":
            self._die_of(fault)
        elif fault.kind == "freeze":
            self.freeze(fault.length_s)
        else:
            self._befall(fault)

    async def _suffer(self, fault: Fault) -> None:
        self._say(f"{self.name}: {fault}")
        if fault.kind == "kill":
            self._die_of(fault)
            raise KilledError(self.name)
        if fault.kind == "freeze":
            self.freeze(fault.length_s)
            await self._pass(AT_LEAST_A_STEP_S)
        elif fault.kind == "fail":
            raise TransientError(f"{fault.call} failed, as planned")
        elif fault.kind in WORLD_KINDS:
            self._befall(fault)

    def _die_of(self, fault: Fault) -> None:
        self.restart_after_s = fault.length_s
        self.kill()

    def _check(self) -> None:
        if self.dead:
            raise KilledError(self.name)

    # -- life and death --------------------------------------------------------------------------------------------

    def hears_of_its_group(self) -> None:
        """A heartbeat goes out now."""
        for line in self._lines:
            line.hear()

    def kill(self) -> None:
        self.dead = True
        for line in self._lines:
            line.die()
        if self._main is not None and self._main is not asyncio.current_task():
            self._main.cancel()  # it hears of its death at once, whatever it waits for

    def freeze(self, length_s: float) -> None:
        """SIGSTOP, and after a while SIGCONT: its tasks stand still, what it set in motion goes on."""
        thaws_s = self.cluster.now_s + length_s
        if thaws_s <= self._thaws_s:
            return
        self._thaws_s, self.frozen = thaws_s, True
        for line in self._lines:
            line.freeze()
        self._loop.call_later(length_s, self._thaw, thaws_s, length_s)

    def _thaw(self, thaws_s: float, length_s: float) -> None:
        if self.dead or thaws_s < self._thaws_s:
            return
        self.frozen = False
        for line in self._lines:
            line.thaw()
            if line.in_transaction and length_s > self.cluster.timings.session_s:
                self.plan.meet("a zombie woke with a commit in hand")
        held, self._held = self._held, []
        for waiting in held:
            _set(waiting)

    def until_thawed(self) -> "asyncio.Future[None]":
        waiting = self._loop.create_future()
        self._held.append(waiting)
        return waiting

    async def pause(self, delay_s: float) -> None:
        """Something takes long."""
        await self._pass(delay_s)

    async def _pass(self, delay_s: float) -> None:
        """asyncio.sleep, without what nobody needs here."""
        passed = self._loop.create_future()
        self._loop.call_later(delay_s, _set, passed)
        await passed


def _set(passed: "asyncio.Future[None]") -> None:
    if not passed.done():
        passed.set_result(None)
