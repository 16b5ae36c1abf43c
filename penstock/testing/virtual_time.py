"""An asyncio event loop whose time is simulated: it never sleeps, it jumps to the next timer.

Code that uses `asyncio.sleep`, `wait_for` or `timeout` runs on it unchanged, in an order that depends on nothing but
the code and the delays it asks for, so that a run can be repeated exactly. There are no sockets and no threads.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class StandstillError(RuntimeError):
    """Every task waits, and no timer is left that could wake one."""


class _Call:
    """What asyncio calls a Handle or a TimerHandle: something to be called, unless it is cancelled before."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when_s")

    def __init__(
        self, when_s: float, callback: Callable[..., object], args: tuple[object, ...], context: Context | None
    ) -> None:
        self._when_s = when_s
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when_s

    def run(self) -> None:
        self._context.run(self._callback, *self._args)


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Keeps its own order of calls; what remains of BaseEventLoop is how tasks and futures are made and run."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._soon: deque[_Call] = deque()
        self._later: list[tuple[float, int, _Call]] = []
        self._timers = 0

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self._now_s

    def call_soon(  # type: ignore[override]  # the same but for the class of the handle
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> _Call:
        call = _Call(self._now_s, callback, args, context)
        self._soon.append(call)
        return call

    def call_later(  # type: ignore[override]  # the same but for the class of the handle
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> _Call:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # the same but for the class of the handle
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> _Call:
        call = _Call(when, callback, args, context)
        self._timers += 1
        heapq.heappush(self._later, (when, self._timers, call))
        return call

    def run_in_executor(self, _executor: object, func: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        """Calls the function here and now: there are no threads."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it belongs to whoever waits
            done.set_exception(error)
        return done

    def _run_once(self) -> None:
        """One round: what is to be called soon; if there is nothing, the time moves on to the next timer."""
        soon, later = self._soon, self._later
        if not soon:
            while later and later[0][2].cancelled():
                heapq.heappop(later)
            if not later:
                raise StandstillError("every task waits for another and no timer is set: nothing can ever happen again")
            self._now_s = max(self._now_s, later[0][0])
        while later and later[0][0] <= self._now_s:
            soon.append(heapq.heappop(later)[2])
        for _ in range(len(soon)):
            call = soon.popleft()
            if not call.cancelled():
                call.run()

    def _write_to_self(self) -> None:
        """Nothing sleeps, hence nothing has to be woken."""


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on simulated time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
