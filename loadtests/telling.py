"""A stage in a process of its own, which prints a line of JSON whenever it has something to tell."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from penstock import collector, logging
from penstock.stream.loop import Loop

_PATIENCE_S = 120.0


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def run(loop: Loop) -> None:
    """Inside the process: until SIGTERM."""
    logging.configure("warning", service="loadtest", slot=0)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    collector.settle()
    await loop.run(stop)


class Telling:
    """The process, from outside.

    Args:
        module: is run with `arguments`.
        hear: takes each line, in a thread.
    """

    def __init__(self, module: str, *arguments: str, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._hear = hear
        self._process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """By SIGTERM; returns once it has ended and all it said was heard."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(_PATIENCE_S) != 0:
            raise SystemExit(f"the stage ended with {self._process.returncode}")
        self._listening.join()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(json.loads(line))
