"""Who waits for the cluster to change, and what wakes them: a change, an alarm that made one, or their own patience."""

import asyncio
from collections.abc import Callable

from penstock.testing.alarms import Alarms

SAME_INSTANT_S = 1e-6  # sums of floats may fall short of the instant they were meant to reach
_NEVER_S = float("inf")


class Wakeups:
    """One timer rings the alarms for all who wait; without anyone waiting, alarms ring at the next `tick`."""

    def __init__(self, alarms: Alarms, monotonic_s: Callable[[], float]) -> None:
        self._alarms = alarms
        self._monotonic_s = monotonic_s
        self._waiting: dict[asyncio.Future[None], None] = {}  # in order, so that runs repeat exactly
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = _NEVER_S

    def tick(self) -> float:
        """Lets everything happen that is due, and says what time it is."""
        now_s = self._monotonic_s() + SAME_INSTANT_S
        if self._alarms.next_s <= now_s:
            self._alarms.ring(now_s)
        return now_s

    def notify(self) -> None:
        """Wakes everyone who waits in `changed`."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def changed(self, timeout_s: float = _NEVER_S) -> None:
        """Returns when something may have changed, at the latest after `timeout_s`."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        patience = loop.call_later(timeout_s, _wake, waiting) if timeout_s < _NEVER_S else None
        self._waiting[waiting] = None
        self._arm(loop)
        try:
            await waiting
        finally:
            del self._waiting[waiting]
            if patience is not None:
                patience.cancel()
            if not self._waiting:
                self._disarm()
        self.tick()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = self._alarms.next_s
        if due_s >= self._timer_due_s or due_s == _NEVER_S:
            return
        self._disarm()
        self._timer_due_s = due_s
        self._timer = loop.call_later(max(0.0, due_s - self._monotonic_s()), self._ring, loop)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due_s = None, _NEVER_S

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._timer_due_s = None, _NEVER_S
        self.tick()
        if self._waiting:
            self._arm(loop)


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
