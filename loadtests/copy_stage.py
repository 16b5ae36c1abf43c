"""The runtime's own cost: a stage that copies, exactly once, against the bare confluent-kafka loop doing the same.

    python -m loadtests.copy_stage [--data FOLDER] [--records 400000] [--repeats 5] [--quix]

All copy key, value, headers and timestamp of 500-byte records over 8 partitions. The target is 0.9 of the bare loop,
and twice Quix Streams.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtests import transfer
from loadtests.transfer import Job, Stopwatch, Went
from penstock import logging
from penstock.clock import SystemClock
from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Handler, Output, State
from penstock.stream.kafka import KafkaBroker
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Outcome, Record
from penstock.stream.settings import LoopSettings

QUIX = "3.28.1"


class Copy:
    """Passes everything on, and stops the loop when it has seen enough."""

    def __init__(self, job: Job, watch: Stopwatch, stop: asyncio.Event) -> None:
        self._target = job.target
        self._left = job.records
        self._watch = watch
        self._stop = stop

    async def process(self, batch: Sequence[Record]) -> Output:
        self._watch.start()
        self._left -= len(batch)
        if self._left <= 0:
            self._stop.set()
        return Output(forward={self._target: list(batch)})


class LastCommit(Meter):
    """Stops the watch at the commit that follows the last record."""

    def __init__(self, job: Job, watch: Stopwatch, stop: asyncio.Event, clock: SystemClock) -> None:
        super().__init__(job.name, Metrics(), clock)
        self._job, self._watch, self._stop = job, watch, stop
        self.went: Went | None = None

    def ended(self, outcome: Outcome, took_s: float) -> None:
        super().ended(outcome, took_s)
        if self._stop.is_set():
            self.went = self._watch.stop(self._job.records)


def stage(job: Job) -> Went:
    return asyncio.run(_stage(job))


async def _stage(job: Job) -> Went:
    stop, watch = asyncio.Event(), Stopwatch()
    return await run_loop(job, Copy(job, watch, stop), None, watch, stop)


async def run_loop(job: Job, handler: Handler, state: State | None, watch: Stopwatch, stop: asyncio.Event) -> Went:
    """The loop as a service runs it, until `stop`."""
    logging.configure("error", service=job.name, slot=0)
    clock = SystemClock()
    meter = LastCommit(job, watch, stop, clock)
    letters = DeadLetters(job.name, lambda _: b"", {}, clock)
    await Loop(KafkaBroker(job.settings()), handler, letters, LoopSettings(job.name), clock, meter, state).run(stop)
    assert meter.went is not None
    return meter.went


@contextmanager
def quix() -> Iterator[list[str]]:
    """The command that runs Quix Streams' contender, in a virtual environment that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        uv = str(Path(sys.executable).with_name("uv"))
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, f"quixstreams=={QUIX}"], check=True)
        yield [python, "-W", "ignore", str(Path(__file__).with_name("quix_copy.py"))]


def main() -> None:
    if transfer.serve({"bare": transfer.bare, "stage": stage}):
        return
    parser = transfer.arguments(__doc__)
    parser.add_argument("--quix", action="store_true", help=f"compare with Quix Streams {QUIX} too, installed for it")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        contenders = dict.fromkeys(["bare", "stage"], transfer.here("loadtests.copy_stage"))
        if chosen.quix:
            contenders["quix"] = stack.enter_context(quix())
        servers = stack.enter_context(transfer.kafka(chosen.data))
        source = f"load-{os.getpid()}.in"
        transfer.create(servers, source)
        transfer.fill(servers, source, chosen.records, lambda _: os.urandom(16))
        transfer.compare(servers, source, chosen.records, chosen.repeats, contenders)
        transfer.delete(servers, source)


if __name__ == "__main__":
    main()
