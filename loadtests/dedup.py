"""Dedup as the service runs it, exactly once and with its changelog, but that the window is filled in memory before
the clock starts.
"""

import asyncio

import numpy as np

from loadtests import topics
from loadtests.contender import Job, Told, serve
from loadtests.copy_stage import run_loop
from loadtests.topics import PARTITIONS
from penstock.clock import SystemClock
from penstock.schema import files
from penstock.schema.codec import Codec
from services.dedup.entries import WORD
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings

_AT_ONCE = 50_000


class Filled(SeenState):
    """A state that has seen a window full of events before it starts."""

    fill_with = 0
    _filled = False

    def restored(self, partition: int) -> tuple[str, int] | None:
        """All partitions at the first call, since after it the first one's records come."""
        if not self._filled:
            self._filled = True
            for number in range(PARTITIONS):
                self._fill(number)
        return None

    def fingerprint_bytes(self) -> float:
        tables = [self.seen(partition).window.table for partition in range(PARTITIONS)]
        return sum(table.size_bytes for table in tables) / sum(len(table) for table in tables)

    def _fill(self, partition: int) -> None:
        table = self.seen(partition).window.table
        generator, now_ms = np.random.default_rng(partition), SystemClock().now_ms()
        left = self.fill_with // PARTITIONS
        while left > 0:
            entries = generator.integers(0, 2**64, (min(left, _AT_ONCE), 4), dtype=np.uint64).astype(WORD)
            entries[:, 2], entries[:, 3] = now_ms - 1, 0
            table.load(entries)
            left -= len(entries)
        table.build()


def dedup(job: Job) -> Told:
    return asyncio.run(_dedup(job))


async def _dedup(job: Job) -> Told:
    changelog, duplicates = f"{job.target}.seen", f"{job.target}.duplicates"
    topics.create(job.bootstrap_servers, changelog, duplicates)
    state = Filled(changelog, WindowSettings(86_400_000, 300_000, 1), SystemClock())
    state.fill_with = job.seen
    codec = Codec(1, files.latest("duplicate"))
    handler = Dedup(state, codec.encode, Topics(job.target, duplicates, job.target))
    watch = await run_loop(job, handler, state)
    told = watch.told(state.fingerprint_bytes())
    topics.delete(job.bootstrap_servers, changelog, duplicates)
    return told


if __name__ == "__main__":
    serve(dedup)
