"""A clock that goes by the running event loop: simulated time in a simulation, real time elsewhere."""

import asyncio

START_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC: where a test's wall clock starts unless told otherwise."""


class LoopClock:
    """Starts at `start_ms`, and runs while an event loop does; `jump_ms` may be changed at any time."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        self._base_s = 0.0
        self._elapsed_s = 0.0
        self.jump_ms = 0

    def now_ms(self) -> int:
        return self._start_ms + self.jump_ms + int(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        """Seconds since the first reading; outside a running loop time stands still."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._elapsed_s
        time_s = loop.time()
        if self._loop is not loop:  # the next test, or the next drain, goes on where the last one stopped
            self._loop = loop
            self._base_s = time_s - self._elapsed_s
        self._elapsed_s = time_s - self._base_s
        return self._elapsed_s
