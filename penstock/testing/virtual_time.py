"""An asyncio event loop whose time is simulated: it never sleeps, it jumps to the next timer.

Code that uses `asyncio.sleep`, `wait_for` or `timeout` runs on it unchanged, in an order that depends on nothing but
the code and the delays it asks for, so that a run can be repeated exactly. There are no sockets and no threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")


class StandstillError(RuntimeError):
    """Every task waits, and no timer is left that could wake one."""


class _Call:
    """What asyncio calls a Handle or a TimerHandle: something to be called, unless it is cancelled before."""

    __slots__ = ("args", "callback", "context", "gone", "when_s")

    def __init__(
        self, when_s: float, callback: Callable[..., object], args: tuple[object, ...], context: Context | None
    ) -> None:
        self.when_s = when_s
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self.when_s


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
        when = self._now_s + delay
        call = _Call(when, callback, args, context)
        self._timers += 1
        heappush(self._later, (when, self._timers, call))
        return call

    def call_at(  # type: ignore[override]  # the same but for the class of the handle
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> _Call:
        call = _Call(when, callback, args, context)
        self._timers += 1
        heappush(self._later, (when, self._timers, call))
        return call

    def run_in_executor(self, _executor: object, func: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        """Calls the function here and now, there being no threads; that it is done is known a turn later."""
        done = self.create_future()
        try:
            self.call_soon(_tell, done, done.set_result, func(*args))
        except Exception as error:  # noqa: BLE001  it belongs to whoever waits
            self.call_soon(_tell, done, done.set_exception, error)
        return done

    def _run_once(self) -> None:
        """Rounds until the loop is stopped: what is to be called soon; if there is nothing, the time moves on to the
        next timer."""
        soon, later = self._soon, self._later
        while not self._stopping:  # type: ignore[attr-defined]  # of BaseEventLoop, and older than its stubs
            if not soon:
                while later and later[0][2].gone:
                    heappop(later)
                if not later:
                    raise StandstillError(
                        "every task waits for another and no timer is set: nothing can ever happen again"
                    )
                self._now_s = max(self._now_s, later[0][0])
            while later and later[0][0] <= self._now_s:
                soon.append(heappop(later)[2])
            for _ in range(len(soon)):
                call = soon.popleft()
                if not call.gone:
                    call.context.run(call.callback, *call.args)

    def _write_to_self(self) -> None:
        """Nothing sleeps, hence nothing has to be woken."""


def _tell(done: "asyncio.Future[Any]", how: Callable[[Any], None], what: object) -> None:
    if not done.done():  # nobody waits any more
        how(what)


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on simulated time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
