"""How fast and how large dedup's table is: `python -m loadtests.dedup_table [--entries 10000000]`.

Prints look-ups and inserts per second, bytes per entry, how flat both stay as the window fills and while it rolls,
and how long a restore takes. CPU time of this process, medians over --repeats batches groups; on a shared machine the
memory bus is shared too, so a reference is printed beside each figure: random reads of one cache line each, from an
array of the table's size, in the same numpy call style and the same minute.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from services.dedup.entries import ENTRY_BYTES, WORD, Words
from services.dedup.table import Table

BATCH = 4096


class Flow:
    """Entries with random fingerprints, a thousand per ms of time."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1)
        self.offset = 0

    def take(self, count: int) -> Words:
        made = self._random.integers(0, 2**64, (count, 4), dtype=np.uint64)
        made[:, 3] = np.arange(self.offset, self.offset + count)
        made[:, 2] = made[:, 3] // 1000
        self.offset += count
        return made.astype(WORD, copy=False)

    @property
    def now_ms(self) -> int:
        return self.offset // 1000


def per_record_us(count: int, work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / count * 1e6


class Reference:
    """Random cache lines, read one batch at a time."""

    def __init__(self, size_bytes: int) -> None:
        self._lines = np.zeros((size_bytes // 64, 64), np.uint8)
        self._lines[:, 0] = 1
        self._random = np.random.default_rng(2)

    def us(self) -> float:
        at = [self._random.integers(0, len(self._lines), BATCH) for _ in range(20)]
        return per_record_us(20 * BATCH, lambda: [self._lines.take(rows, axis=0) for rows in at])


def measure(table: Table, flow: Flow, repeats: int, batch: int) -> dict[str, float]:
    """Medians in us per record: look-ups of what is absent and of what is there, inserts on top of a look-up."""
    took: dict[str, list[float]] = {"absent": [], "present": [], "insert": []}

    def find(batches: list[Words]) -> float:
        return per_record_us(10 * batch, lambda: [table.find(b) for b in batches])

    def put(batches: list[Words]) -> float:
        return per_record_us(10 * batch, lambda: [table.put(b, table.find(b)) for b in batches])

    for _ in range(repeats):
        batches = [flow.take(batch) for _ in range(10)]
        took["absent"].append(find(batches))
        took["insert"].append(put(batches) - took["absent"][-1])
        took["present"].append(find(batches))
        table.undo()
    return {name: statistics.median(values) for name, values in took.items()}


def advance(table: Table, flow: Flow, entries: int, window_ms: int) -> tuple[float, float, float]:
    """Inserts and commits; returns us per record all in, the longest batch in ms, the most bytes per entry."""
    longest, most, total = 0.0, 0.0, 0.0
    for _ in range(entries // BATCH):
        batch = flow.take(BATCH)
        started = time.process_time()
        table.put(batch, table.find(batch))
        table.commit(flow.now_ms - window_ms)
        took = time.process_time() - started
        longest, total = max(longest, took * 1e3), total + took
        most = max(most, table.size_bytes / len(table))
    return total / entries * 1e6, longest, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    entries, repeats = arguments.entries, max(5, arguments.repeats)
    window_ms = entries // 1000
    table, flow, reference = Table(), Flow(), Reference(entries * 12)

    print(f"filling to {entries:,} entries, then rolling as many again; us of CPU per record, medians of {repeats}")
    print("   entries  absent present  insert | all in  longest batch  bytes/entry (most) | reference")
    step = entries // 5
    for i in range(10):
        all_in, longest, most = advance(table, flow, step, window_ms)
        at = measure(table, flow, repeats, BATCH)
        print(
            f"{len(table):10,}  {at['absent']:6.3f}  {at['present']:6.3f}  {at['insert']:6.3f} |"
            f" {all_in:6.3f}  {longest:10.1f} ms  {table.size_bytes / len(table):6.1f} ({most:.1f})"
            f"{'':7} | {reference.us():.3f}" + ("   rolling" if i >= 5 else "")
        )
    at = measure(table, flow, repeats, 1000)
    print(f"in batches of 1,000: absent {at['absent']:.3f}, present {at['present']:.3f}, insert {at['insert']:.3f} us")
    del table

    saved = flow.take(entries)
    raw = saved.tobytes()
    took = []
    for _ in range(repeats):
        restored = Table()
        started = time.process_time()
        for at_byte in range(0, len(raw), ENTRY_BYTES << 20):
            restored.load(np.frombuffer(raw[at_byte : at_byte + (ENTRY_BYTES << 20)], WORD).reshape(-1, 4))
        restored.build()
        took.append(time.process_time() - started)
        assert len(restored) == entries
        del restored
    print(f"restore of {entries:,} entries: {statistics.median(took):.2f} s")


if __name__ == "__main__":
    main()
