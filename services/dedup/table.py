"""The first-seen table of one partition: fingerprint to (timestamp, first offset), exact, a batch at a time.

Entries stand in an EntryLog in order of arrival, an Index leads to them. What arrived long ago is forgotten from the
log's start, and the index's dead slots with the next rebuild. A rebuild (to grow, or to get rid of dead slots) goes in
pieces between transactions: the new index is filled behind the old one, slot by slot, which goes along both, while the
old one serves everybody until the new one has caught up. So no look-up ever searches two indexes and nothing stalls.
At most 64 bytes per entry: 32 for the entry and a sixteenth of slack, 28 for both indexes.

Changes are provisional until `commit`; `undo` takes back exactly those since the last one.
"""

from collections.abc import Iterator

import numpy as np

from services.dedup.entries import LONG, LOW, NUMBERS, EntryLog, Longs, Words
from services.dedup.index import SLOT_BYTES, SLOTS, Found, Index, Numbers, Written

_FULL = 0.65
_FRESH = 0.45, 0.3  # how full a new index is at most and at least
_INDEX_BYTES = 28  # per entry, for the old and the new index together
_BRIM = 0.9  # of slots; reached within one transaction only while the table is small
_PACE = 10  # slots swept, or entries moved, per entry inserted
_PIECE = 1 << 13
_BULK = 1 << 16


class Table:
    """
    Args:
        smallest: the fewest slots the index has.
        first: the number of the first entry; only tests have a reason to choose.
    """

    def __init__(self, smallest: int = 1 << 14, first: int = 0) -> None:
        self._smallest = smallest
        self._log = EntryLog(first)
        self._index = Index(smallest, self._log)
        self._next: Index | None = None
        self._swept = 0  # slots of the index below are in the next one
        self._sweep_end = first  # but for what they led to after the sweep began: entries from here on
        self._moved = first  # of which those below are in the next one
        self._committed = first
        self._steps: list[Written] = []

    def __len__(self) -> int:
        """Entries kept: those that can matter and those not yet forgotten."""
        return len(self._log)

    @property
    def size_bytes(self) -> int:
        following = self._next.size_bytes if self._next else 0
        return self._log.size_bytes + self._index.size_bytes + following

    def find(self, entries: Words) -> Found:
        return self._index.find(entries)

    def entries(self, slots: Longs) -> Words:
        """What stands in the slots that `find` returned, `(n, 4)`."""
        return self._log.take(self._index.numbers(slots))[1]

    def put(self, entries: Words, found: Found) -> Longs:
        """Makes these the entries of their fingerprints, in place of what was there; of equal ones the first.

        Args:
            entries: `(n, 4)`.
            found: what `find` said of them, with no `put` since.

        Returns:
            for each the position in `entries` of the one that is now its fingerprint's: its own, if it was put.
        """
        if self._index.used + len(entries) > _BRIM * self._index.slots:
            self._rebuild(len(self._log) + len(entries))
            found = self._index.find(entries)
        start = self._log.end
        self._log.append(entries)
        numbers = _numbers(start, len(entries))
        inserted = self._index.insert(entries, numbers, found)
        self._steps += inserted.steps
        first = (inserted.number - np.uint32(start % NUMBERS)).astype(np.int64)
        own = inserted.number == numbers
        if not own.all():  # close the gaps of those that were not put
            put = own.nonzero()[0]
            self._log.truncate(start)
            self._log.append(entries[put])
            self._index.renumber(inserted.slot[put], _numbers(start, len(put)))
        return first

    def load(self, entries: Words) -> None:
        """Appends entries in bulk, committed, of which of equal ones the last counts; `build` has to follow."""
        self._log.append(entries)
        self._committed = self._log.end

    def build(self) -> None:
        """Makes the index anew after `load`."""
        self._rebuild(len(self._log))

    def changes(self) -> Iterator[Words]:
        """What was put since the last commit, in order; views, to be used up before the next change."""
        return self._log.parts(self._committed, self._log.end)

    def undo(self) -> None:
        self._index.take_back(self._steps)
        self._log.truncate(self._committed)
        self._steps = []

    def commit(self, until_ms: int) -> None:
        """Keeps what was put, and forgets, sooner or later, entries of `until_ms` and earlier."""
        fresh = self._log.end - self._committed
        self._committed = self._log.end
        self._steps = []
        self._log.release(until_ms)
        if self._next is None and self._index.used > _FULL * self._index.slots:
            self._next = Index(self._room(len(self._log)), self._log)
            self._swept, self._moved = 0, self._log.end
            self._sweep_end = self._log.end
        if self._next is not None:
            self._move(self._next, max(_PIECE, _PACE * fresh))

    def _move(self, index: Index, count: int) -> None:
        """A piece of what the serving index leads to, slot by slot, and when that is done, what was put since the
        sweep began, in the order of the log."""
        if self._swept < self._index.slots:
            count += -count % SLOTS
            numbers = self._index.sweep(self._swept, count)
            numbers = numbers[self._log.kept(numbers, self._sweep_end)]
            index.add(self._log.take(numbers)[1], numbers)
            self._swept += count
            return
        start = max(self._moved, self._log.start)
        self._moved = min(start + count, self._log.end)
        self._fill(index, start, self._moved, bulk=True)
        if self._moved == self._log.end:
            self._index, self._next = index, None

    def _rebuild(self, entries: int) -> None:
        """At once, with room for so many; also in the middle of a transaction, whose steps are made anew."""
        index = Index(self._room(entries), self._log)
        self._fill(index, self._log.start, self._committed, bulk=True)
        self._steps = self._fill(index, self._committed, self._log.end)
        self._index, self._next = index, None

    def _room(self, entries: int) -> int:
        """The slots of a new index: as many as 64 bytes per entry allow beside the old one, within reason."""
        fullest, emptiest = _FRESH
        affordable = entries * _INDEX_BYTES // SLOT_BYTES - self._index.slots
        return max(self._smallest, int(entries / fullest), min(affordable, int(entries / emptiest)))

    def _fill(self, index: Index, start: int, end: int, *, bulk: bool = False) -> list[Written]:
        steps = []
        for at in range(start, end, _BULK):
            stop = min(at + _BULK, end)
            numbers = _numbers(at, stop - at)[::-1]
            newest_first = np.concatenate(list(self._log.parts(at, stop)))[::-1]
            found = index.find(newest_first)
            if bulk and (found.slot < 0).all() and _unlike(newest_first):
                index.add(newest_first, numbers)
                continue
            steps += index.insert(newest_first, numbers, found).steps
        return steps


def _unlike(entries: Words) -> bool:
    """Certainly no two have the same fingerprint; False says nothing."""
    low = np.sort(entries[:, LOW])
    return bool((low[1:] != low[:-1]).all())


def _numbers(start: int, count: int) -> Numbers:
    """The low 32 bits of consecutive entry numbers."""
    return (np.arange(start, start + count, dtype=LONG) & (NUMBERS - 1)).astype(np.uint32)
