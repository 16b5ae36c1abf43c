"""One thread that does everything a blocking client is asked to do, one job after the other.

A poll and a commit can therefore never run at once. The client's rebalance callback runs inside a poll; while the
loop finishes what it had taken, `serve_until` lets the callback do the jobs that this needs.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking function in the worker thread; its result or exception comes back here."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def resolve(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # None only where T is None

        def job() -> None:
            try:
                result = function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  it belongs to the one who waits
                loop.call_soon_threadsafe(resolve, None, error)
            else:
                loop.call_soon_threadsafe(resolve, result, None)

        self._jobs.put(job)
        return await done

    def wake(self) -> None:
        """Lets `serve_until` look at its condition again; callable from any thread."""
        self._jobs.put(lambda: None)

    def serve_until(self, condition: Callable[[], bool]) -> None:
        """In the worker thread, inside a job: does further jobs until the condition holds."""
        while not condition():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                return
            job()

    def stop(self) -> None:
        """Ends the thread after the jobs already handed in."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
