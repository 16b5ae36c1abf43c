"""Service processes as children of one command: started together, stopped in flow order, none left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from penstock.errors import SystemFaultError

SERVICES: Mapping[str, tuple[str, ...]] = {
    "ingest": ("services.ingest",),
    "dedup": ("services.dedup",),
    "enrich": ("services.enrich",),
    "sentiment": ("services.sentiment",),
    "sink-postgres": ("services.sink", "postgres"),
    "sink-s3": ("services.sink", "s3"),
    "gateway": ("services.gateway",),
}
"""Name to module and arguments, in flow order."""

_LINE_BYTES = 1024 * 1024

OnLine = Callable[[str, str], None]
"""(process name, one line of its output, without the line end)."""


class Supervisor:
    """
    Args:
        environment: what the processes get on top of this one's own environment.
        on_line: takes each line they print.
    """

    def __init__(self, environment: Mapping[str, str], on_line: OnLine) -> None:
        self._environment = {**os.environ, **environment}
        self._on_line = on_line
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self.killed: list[str] = []
        """Those that were ended by force."""

    @property
    def running(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.returncode is None]

    async def start(self, name: str, command: Iterable[str]) -> None:
        """Starts `python -m COMMAND...` in a process group of its own, so that Ctrl-C reaches only us."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        self._processes[name] = process
        self._readers[name] = asyncio.create_task(self._read(name, process))

    async def start_services(self, names: Iterable[str]) -> None:
        for name in names:
            await self.start(name, SERVICES[name])

    async def ended(self) -> tuple[str, int]:
        """The first process that ends, and its exit code (negative: the signal that killed it)."""
        waiting = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        if not waiting:
            raise SystemFaultError("no process was started")
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        first = done.pop()
        return waiting[first], first.result()

    async def wait(self, name: str) -> int:
        code = await self._processes[name].wait()
        await self._readers[name]
        return code

    async def stop(self, names: Iterable[str] | None = None, timeout_s: float = 30.0) -> None:
        """Has each of these drain, all if none are named, in the order they were started; kills what does not end."""
        for name in list(self._processes) if names is None else [one for one in names if one in self._processes]:
            process = self._processes[name]
            self._signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(timeout_s):
                    await process.wait()
            except TimeoutError:
                self._tell(name, f"did not stop within {timeout_s:.0f} s, killed")
                self.kill(name)
                await process.wait()
            await self._readers[name]
            del self._processes[name]

    def kill(self, name: str | None = None) -> None:
        """At once, without draining; all of them where none is named."""
        for one in [name] if name is not None else list(self._processes):
            if self._processes[one].returncode is None:
                self.killed.append(one)
            self._signal(self._processes[one], signal.SIGKILL)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than a line may be
                continue
            if not line:
                return
            self._tell(name, line.decode("utf-8", "replace").rstrip("\n"))

    def _tell(self, name: str, line: str) -> None:
        with suppress(OSError):  # the terminal is gone, or a pipe's reader: no reason to stand still or to stay behind
            self._on_line(name, line)
