"""One process of the simulation: its border with the world, where it is delayed, stopped or killed."""

import asyncio
from collections.abc import Callable
from random import Random

from penstock.clock import Clock
from penstock.errors import TransientError
from penstock.testing import Cluster, MemoryBroker
from tests.simulation.faults import LOCAL_CALLS, Fault, Plan


class KilledError(BaseException):
    """kill -9: nothing that the process still does on its way out has an effect."""


class SkewedClock:
    """A process's own clock: `skew_ms` off the broker's."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self.monotonic_s = base.monotonic_s
        self.skew_ms = 0

    def now_ms(self) -> int:
        return self._base.now_ms() + self.skew_ms


class Process:
    """Every call that a process makes to the world passes `enter` and `leave`."""

    def __init__(self, name: str, cluster: Cluster, plan: Plan, chance: Random) -> None:
        self.name = name
        self.cluster = cluster
        self.clock = SkewedClock(cluster.clock)
        self.dead = False
        self.restart_after_s = 0.5
        self._plan = plan
        self._chance = chance
        self._brokers: list[MemoryBroker] = []
        self.trace: Callable[[str], None] | None = None

    def owns(self, broker: MemoryBroker) -> None:
        """What stops sending heartbeats when the process stops."""
        self._brokers.append(broker)

    async def enter(self, call: str) -> Fault | None:
        """Before a call. Returns a fault that only the caller knows how to play."""
        self._check()
        fault = self._plan.due(call, self.cluster.now_s, after=False)
        if fault is not None:
            await self._suffer(fault)
        await self._pass(self._latency_s())
        self._check()
        return fault

    async def leave(self, call: str) -> None:
        """After a call, before its answer is known."""
        self._check()
        fault = self._plan.due(call, self.cluster.now_s, after=True)
        if fault is not None:
            await self._suffer(fault)
        if call not in LOCAL_CALLS:
            await self._pass(self._latency_s())
            self._check()

    def kill(self) -> None:
        self.dead = True
        for broker in self._brokers:
            broker.freeze()

    def _check(self) -> None:
        if self.dead:
            raise KilledError(self.name)

    async def _suffer(self, fault: Fault) -> None:
        if self.trace is not None:
            self.trace(f"{self.name}: {fault}")
        if fault.kind == "kill":
            self.restart_after_s = fault.length_s
            self.kill()
            raise KilledError(self.name)
        if fault.kind == "freeze":
            for broker in self._brokers:
                broker.freeze()
            await asyncio.sleep(fault.length_s)
            if not self.dead:
                for broker in self._brokers:
                    broker.thaw()
        elif fault.kind == "fail":
            raise TransientError(f"{fault.call} failed, as planned")

    async def _pass(self, delay_s: float) -> None:
        """asyncio.sleep, without what nobody needs here."""
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(delay_s, _set, passed)
        await passed

    def _latency_s(self) -> float:
        die = self._chance.random()
        if die < 0.9:
            return 0.0002 + die * 0.002
        return 0.01 if die < 0.98 else 0.15


def _set(passed: "asyncio.Future[None]") -> None:
    if not passed.done():
        passed.set_result(None)
