"""Dedup's cost: the stage with 10 million fingerprints in the window, against the bare confluent-kafka copying loop.

    python -m loadtests.dedup [--data FOLDER] [--records 400000] [--repeats 5] [--seen 10000000] [--duplicates 0.0]

Everything is as in the real service, exactly once and with its changelog, but that the window is filled in memory
before the clock starts. The target is 0.8 of the bare loop.
"""

import asyncio
import os
import random
from collections.abc import Sequence

import numpy as np

from loadtests import transfer
from loadtests.copy_stage import run_loop
from loadtests.transfer import PARTITIONS, Job, Stopwatch, Went
from penstock.clock import SystemClock
from penstock.schema import files
from penstock.schema.codec import Codec
from penstock.stream.handler import Output
from penstock.stream.port import Record
from services.dedup.entries import WORD
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings

SEEN = "PENSTOCK_LOAD_SEEN"


class Filled(SeenState):
    """A state that has seen a window full of events before it starts."""

    _filled = False

    def restored(self, partition: int) -> tuple[str, int] | None:
        """All partitions at the first call, since after it the first one's records come."""
        if not self._filled:
            self._filled = True
            for number in range(PARTITIONS):
                self._fill(number)
        return None

    def _fill(self, partition: int) -> None:
        table = self.seen(partition).window.table
        generator, now_ms = np.random.default_rng(partition), SystemClock().now_ms()
        for _ in range(int(os.environ[SEEN]) // PARTITIONS // 50_000):
            entries = generator.integers(0, 2**64, (50_000, 4), dtype=np.uint64).astype(WORD)
            entries[:, 2], entries[:, 3] = now_ms - 1, 0
            table.load(entries)
        table.build()


class Counted:
    """Starts the watch at the first batch, and stops the loop when everything has been seen."""

    def __init__(self, dedup: Dedup, job: Job, watch: Stopwatch, stop: asyncio.Event) -> None:
        self._dedup, self._watch, self._stop = dedup, watch, stop
        self._left = job.records

    async def process(self, batch: Sequence[Record]) -> Output:
        self._watch.start()
        self._left -= len(batch)
        if self._left <= 0:
            self._stop.set()
        return await self._dedup.process(batch)


def dedup(job: Job) -> Went:
    return asyncio.run(_dedup(job))


async def _dedup(job: Job) -> Went:
    stop, watch = asyncio.Event(), Stopwatch()
    changelog, duplicates = f"{job.target}.seen", f"{job.target}.duplicates"
    transfer.create(job.bootstrap_servers, changelog, duplicates)
    state = Filled(changelog, WindowSettings(86_400_000, 300_000, 1), SystemClock())
    codec = Codec(1, files.latest("duplicate"))
    handler = Dedup(state, codec.encode, Topics(job.target, duplicates, job.target))
    went = await run_loop(job, Counted(handler, job, watch, stop), state, watch, stop)
    transfer.delete(job.bootstrap_servers, changelog, duplicates)
    return went


def main() -> None:
    if transfer.serve({"bare": transfer.bare, "dedup": dedup}):
        return
    parser = transfer.arguments(__doc__)
    parser.add_argument("--seen", type=int, default=10_000_000)
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of records that repeat an earlier one")
    chosen = parser.parse_args()
    os.environ[SEEN] = str(chosen.seen)
    keys: list[bytes] = []
    choice = random.Random(1)

    def key(_: int) -> bytes:
        if keys and choice.random() < chosen.duplicates:
            return choice.choice(keys)
        keys.append(os.urandom(16))
        return keys[-1]

    with transfer.kafka(chosen.data) as servers:
        source = f"load-{os.getpid()}.in"
        transfer.create(servers, source)
        transfer.fill(servers, source, chosen.records, key)
        contenders = dict.fromkeys(["bare", "dedup"], transfer.here("loadtests.dedup"))
        transfer.compare(servers, source, chosen.records, chosen.repeats, contenders)
        transfer.delete(servers, source)


if __name__ == "__main__":
    main()
