"""Calls into a client that may never return: given up after a while, and the thread they hang in with them."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Bounded:
    """One thread for one call at a time; another one takes its place when a call has been given up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] | None = None

    def call(self, limit_s: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Blocks until the function has returned or raised.

        Raises:
            TimeoutError: it did neither within `limit_s`. It may still do something later, which nobody hears of.
        """
        jobs = self._jobs = self._jobs or self._start()
        answer: Future[T] = Future()

        def job() -> None:
            try:
                answer.set_result(function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  it belongs to the one who waits
                answer.set_exception(error)

        jobs.put(job)
        try:
            return answer.result(limit_s)
        except TimeoutError:
            if answer.done():
                raise  # the function's own
            self.close()
            raise TimeoutError(f"no answer within {limit_s:g} s") from None

    def close(self) -> None:
        """Lets the thread end as soon as it returns; a daemon, it keeps no process from ending."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _start(self) -> queue.SimpleQueue[Callable[[], None] | None]:
        jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(jobs,), name=self._name, daemon=True).start()
        return jobs


def _serve(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
