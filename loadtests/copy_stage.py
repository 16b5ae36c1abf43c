"""The runtime's own cost: a stage that copies, exactly once, in the loop that every service runs in."""

import asyncio
from collections.abc import Sequence

from loadtests.contender import Job, Stopwatch, Told, serve
from penstock import collector, logging
from penstock.clock import SystemClock
from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Handler, Output, State
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Outcome, Record
from penstock.stream.settings import LoopSettings


class Copy:
    """Passes everything on."""

    def __init__(self, target: str) -> None:
        self._target = target

    async def process(self, batch: Sequence[Record]) -> Output:
        return Output(forward={self._target: list(batch)})


class _Counted:
    """Starts the watch at the first batch, and stops the loop when everything has been seen."""

    def __init__(self, handler: Handler, job: Job, watch: Stopwatch, stop: asyncio.Event) -> None:
        self._handler, self._watch, self._stop = handler, watch, stop
        self._left = job.records

    async def process(self, batch: Sequence[Record]) -> Output:
        self._watch.start()
        self._left -= len(batch)
        if self._left <= 0:
            self._stop.set()
        return await self._handler.process(batch)


class _LastCommit(Meter):
    """Stops the watch at the commit that follows the last record."""

    def __init__(self, job: Job, watch: Stopwatch, stop: asyncio.Event, clock: SystemClock) -> None:
        super().__init__(job.name, Metrics(), clock)
        self._watch, self._stop = watch, stop

    def ended(self, outcome: Outcome, took_s: float) -> None:
        super().ended(outcome, took_s)
        if self._stop.is_set():
            self._watch.stop()


async def run_loop(job: Job, handler: Handler, state: State | None = None) -> Stopwatch:
    """The loop as a service runs it, until the job is done."""
    logging.configure("error", service=job.name, slot=0)
    clock, watch, stop = SystemClock(), Stopwatch(), asyncio.Event()
    broker = KafkaBroker(ClientSettings(job.bootstrap_servers, job.name, (job.source,), job.name))
    letters = DeadLetters(job.name, lambda _: b"", {}, clock)
    counted, meter = _Counted(handler, job, watch, stop), _LastCommit(job, watch, stop, clock)
    collector.settle()
    await Loop(broker, counted, letters, LoopSettings(job.name), clock, meter, state).run(stop)
    return watch


def stage(job: Job) -> Told:
    assert job.exactly_once, "the loop knows no less"
    return asyncio.run(run_loop(job, Copy(job.target))).told()


if __name__ == "__main__":
    serve(stage)
