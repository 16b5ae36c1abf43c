"""The service processes: started, signalled, and started again when they end, as an orchestrator would."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from penstock.cli.supervisor import SERVICES

READY_WITHIN_S = 300.0
_DRAIN_S = 60.0
_RESTART_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended though nobody had sent it a signal."""

    name: str
    code: int
    log: str


class Instance:
    """One place for a process of a service; `wanted` says whether one should run there."""

    def __init__(self, service: str, slot: int) -> None:
        self.service = service
        self.slot = slot
        self.wanted = False
        self.process: asyncio.subprocess.Process | None = None
        self.expected_end = False
        self.started = asyncio.Event()
        """Not set from a process's end to the next one's start."""
        self.failpoint = ""
        """Where the next process that is started here dies; the one after it does not."""

    @property
    def name(self) -> str:
        return f"{self.service}.{self.slot}"

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Fleet:
    """
    Args:
        commands: the modules and arguments that make a service, where they are others than usual.
    """

    def __init__(
        self,
        data: Path,
        folder: Path,
        environment: Mapping[str, str],
        commands: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._data = data
        self._folder = folder
        self._environment = environment
        self._commands = {**SERVICES, **(commands or {})}
        self._instances: dict[tuple[str, int], Instance] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self.ended: list[Ended] = []

    def instance(self, service: str, slot: int = 0) -> Instance:
        key = service, slot
        if key not in self._instances:
            self._instances[key] = Instance(service, slot)
            self._keepers.append(asyncio.create_task(self._keep(self._instances[key])))
        return self._instances[key]

    async def start(self, service: str, slot: int = 0) -> None:
        """Wants it from now on, and waits until it is ready."""
        instance = self.instance(service, slot)
        instance.wanted = True
        await self.ready(instance)

    async def ready(self, instance: Instance) -> None:
        """Waits until the process that runs there now says so itself."""
        deadline_s = time.monotonic() + READY_WITHIN_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while not await self._is_ready(instance, http):
                assert time.monotonic() < deadline_s, (
                    f"{instance.name} is not ready after {READY_WITHIN_S:.0f} s:\n{self.tail(instance)}"
                )
                await asyncio.sleep(0.1)

    def endpoints(self, service: str, slot: int = 0) -> dict[str, Any]:
        """What the process wrote down; empty where none has."""
        try:
            found: dict[str, Any] = json.loads((self._data / "run" / f"{service}.{slot}.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    async def kill(self, instance: Instance) -> None:
        await self._end(instance, signal.SIGKILL)

    async def die_at(self, instance: Instance, failpoint: str) -> None:
        """Starts it anew, and waits until it has died there and another one runs."""
        instance.failpoint = failpoint
        await self.kill(instance)
        doomed = await self._next(instance)
        async with asyncio.timeout(READY_WITHIN_S):
            assert await doomed.wait() == -signal.SIGKILL, f"{instance.name} did not die:\n{self.tail(instance)}"
        await self._next(instance)

    async def _next(self, instance: Instance) -> asyncio.subprocess.Process:
        """The process that is started after the one that has ended."""
        await instance.started.wait()
        assert instance.process is not None
        return instance.process

    async def terminate(self, instance: Instance) -> int:
        """Has it drain; its exit code. One that is asked before it listens just ends, and has begun nothing."""
        listens = self.endpoints(instance.service, instance.slot).get("pid") == instance.pid
        code = await self._end(instance, signal.SIGTERM)
        return 0 if code == -signal.SIGTERM and not listens else code

    async def freeze(self, instance: Instance, length_s: float) -> None:
        if (pid := instance.pid) is not None:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(length_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def stop(self) -> dict[str, int]:
        """Has all drain; exit codes by name."""
        running = [instance for instance in self._instances.values() if instance.pid is not None]
        for instance in self._instances.values():
            instance.wanted = False
        codes = await asyncio.gather(*(self.terminate(instance) for instance in running))
        await self.close()
        return {instance.name: code for instance, code in zip(running, codes, strict=True)}

    async def close(self) -> None:
        """Leaves no process behind, however it comes to that."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for instance in self._instances.values():
            if instance.process is not None and instance.process.returncode is None:
                instance.process.kill()
                await instance.process.wait()

    def tail(self, instance: Instance, size: int = 3000) -> str:
        path = self._folder / f"{instance.name}.log"
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    async def _end(self, instance: Instance, number: signal.Signals) -> int:
        """The code it ended with; a process that is not there has ended well."""
        process = instance.process
        if process is None or process.returncode is not None:
            return 0
        instance.expected_end = True
        process.send_signal(number)
        try:
            async with asyncio.timeout(_DRAIN_S):
                code = await process.wait()
            instance.started.clear()
            return code
        except TimeoutError:
            process.kill()
            raise AssertionError(
                f"{instance.name} did not end within {_DRAIN_S:.0f} s of {number.name}:\n{self.tail(instance)}"
            ) from None

    async def _keep(self, instance: Instance) -> None:
        while True:
            if not instance.wanted:
                await asyncio.sleep(0.05)
                continue
            failpoint, instance.failpoint = instance.failpoint, ""
            instance.expected_end = bool(failpoint)
            own = {"PENSTOCK_SLOT": str(instance.slot), "PENSTOCK_FAILPOINT": failpoint}
            with (self._folder / f"{instance.name}.log").open("ab") as log:
                instance.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    *self._commands[instance.service],
                    env={**os.environ, **self._environment, **own},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            instance.started.set()
            code = await instance.process.wait()
            instance.started.clear()
            if not instance.expected_end:
                self.ended.append(Ended(instance.name, code, self.tail(instance, 600)))
            await asyncio.sleep(_RESTART_S)

    async def _is_ready(self, instance: Instance, http: aiohttp.ClientSession) -> bool:
        """Ready by its own word; a file that a killed process left behind tells nothing."""
        found = self.endpoints(instance.service, instance.slot)
        if instance.pid is None or found.get("pid") != instance.pid:
            return False
        try:
            async with http.get(f"{found['http']}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
