"""Where a fingerprint's entry is: a hash table of entry numbers, worked on a batch at a time.

Buckets of 16 slots; a slot is a 16-bit tag and the low 32 bits of an entry's number, 6 bytes. A bucket's tags are one
contiguous 32 bytes, so that a look-up touches one cache line and compares 16 slots at once (the layout of Abseil's
Swiss tables and Facebook's F14, https://abseil.io/about/design/swisstables, in numpy's words). A full bucket overflows
into the next. A tag only says where to look: what decides is the whole 128-bit fingerprint in the entry log.

Fingerprints are keyed BLAKE2b sums: their bits are as good as random to whoever does not hold the deployment's key,
so they are used as the hash as they are, and nobody can aim at a bucket.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.dedup.entries import HIGH, LOW, EntryLog, Longs, Words

SLOTS = 16
SLOT_BYTES = 6
_POSITION_BITS = 20  # of a position in one `add`

Numbers = NDArray[np.uint32]
ABSENT = -1


class Found(NamedTuple):
    """Per fingerprint: its slot or ABSENT, and the bucket that would take it if absent."""

    slot: Longs
    bucket: Longs


class Written(NamedTuple):
    """One step of an insert, to be taken back in reverse order: what stood in `slots`; None where they were empty."""

    slots: Longs
    before: Numbers | None


class Inserted(NamedTuple):
    slot: Longs
    """Per entry: the slot of its fingerprint."""
    number: Numbers
    """Per entry: the number stored for its fingerprint; another's if an earlier entry of the batch has the same."""
    steps: list[Written]


class Index:
    """
    Args:
        capacity: the most entries it should hold; it slows down from there on, and must never be full.
        log: where the numbers lead.
    """

    def __init__(self, capacity: int, log: EntryLog) -> None:
        self._buckets = -(-capacity // SLOTS)
        self._tags: NDArray[np.uint16] = np.zeros((self._buckets, SLOTS), np.uint16)
        self._numbers: Numbers = np.zeros(self._buckets * SLOTS, np.uint32)
        self._fill: NDArray[np.uint8] = np.zeros(self._buckets, np.uint8)
        self._log = log
        self.used = 0

    @property
    def slots(self) -> int:
        return self._buckets * SLOTS

    @property
    def size_bytes(self) -> int:
        return self._tags.nbytes + self._numbers.nbytes + self._fill.nbytes

    def numbers(self, slots: Longs) -> Numbers:
        return self._numbers[slots]

    def renumber(self, slots: Longs, numbers: Numbers) -> None:
        self._numbers[slots] = numbers

    def find(self, entries: Words) -> Found:
        """Where the fingerprints of `(n, 4)` entries are; the other columns are not looked at."""
        low, high = entries[:, LOW], entries[:, HIGH]
        home = self._home(low)
        found = Found(np.full(len(entries), ABSENT, np.int64), home)
        tags = _tags(low)
        overflown = self._look(found, tags, low, high)
        while len(overflown):
            found.bucket[overflown] = (found.bucket[overflown] + 1) % self._buckets
            part = Found(found.slot[overflown], found.bucket[overflown])
            further = self._look(part, tags[overflown], low[overflown], high[overflown])
            found.slot[overflown] = part.slot
            overflown = overflown[further]
        return found

    def insert(self, entries: Words, numbers: Numbers, found: Found) -> Inserted:
        """Leads the fingerprints of `entries` to `numbers`, present ones too; of equal ones the first wins.

        Args:
            entries: they must stand in the log already.
            numbers: under which they do.
            found: what `find` says of them; nothing may have been inserted since.
        """
        slot, stored, steps = found.slot.copy(), numbers.copy(), list[Written]()
        present = np.flatnonzero(slot >= 0)
        if len(present):
            self._replace(slot[present], present, stored, steps)
        tags = _tags(entries[:, LOW])
        todo = np.flatnonzero(slot < 0)
        bucket = found.bucket[todo]
        while len(todo):
            at = bucket * SLOTS + self._fill[bucket]
            won = self._claim(at, numbers[todo])
            winners, taken = todo[won], at[won]
            self._tags.reshape(-1)[taken] = tags[winners]
            self._fill[bucket[won]] += 1
            self.used += len(winners)
            slot[winners] = taken
            steps.append(Written(taken, None))
            # Whoever lost met an equal fingerprint, or another one that wanted the same slot: look again.
            todo = todo[~won]
            again = self.find(entries[todo])
            equal = again.slot >= 0
            slot[todo[equal]] = again.slot[equal]
            stored[todo[equal]] = self._numbers[again.slot[equal]]
            todo, bucket = todo[~equal], again.bucket[~equal]
        return Inserted(slot, stored, steps)

    def add(self, entries: Words, numbers: Numbers) -> None:
        """Inserts entries that are absent, none equal to another; faster than `insert`, in bulk, and for good."""
        low = entries[:, LOW]
        # Sorted as (home, position) in one word: numpy sorts words several times faster than it sorts positions.
        packed = (self._home(low) << _POSITION_BITS) + np.arange(len(low))
        packed.sort()
        home, order = packed >> _POSITION_BITS, packed & ((1 << _POSITION_BITS) - 1)
        place = np.arange(len(home))
        first = place.copy()
        first[1:][home[1:] == home[:-1]] = 0
        slot = self._fill[home] + place - np.maximum.accumulate(first)
        fits = slot < SLOTS
        which = order[fits]
        at = (home * SLOTS + slot)[fits]
        self._tags.reshape(-1)[at] = _tags(low[which])
        self._numbers[at] = numbers[which]
        self._fill[home[fits]] = slot[fits] + 1  # of a bucket that repeats, the last value stays
        self.used += len(which)
        if len(which) < len(order):
            rest = order[~fits]
            self.insert(entries[rest], numbers[rest], self.find(entries[rest]))

    def sweep(self, start: int, count: int) -> Numbers:
        """The numbers in the slots from `start` on, dead ones too. Multiples of 16, both. They come in nearly the order
        that they have in an index of any other size, so that moving them there goes along both."""
        used = self._tags.reshape(-1)[start : start + count] != 0
        numbers: Numbers = self._numbers[start : start + count][used]
        return numbers

    def take_back(self, steps: list[Written]) -> None:
        """Undoes inserts; `steps` must be the last ones made, in order."""
        for slots, before in reversed(steps):
            if before is not None:
                self._numbers[slots] = before
                continue
            self._tags.reshape(-1)[slots] = 0
            self._fill[slots // SLOTS] -= 1  # a step fills a bucket by one slot at most
            self.used -= len(slots)

    def _home(self, low: Words) -> Longs:
        return ((low & 0xFFFFFFFF) * self._buckets >> 32).view(np.int64)

    def _look(self, found: Found, tags: NDArray[np.uint16], low: Words, high: Words) -> Longs:
        """Looks into one bucket each, writes `found.slot`; returns which have to look into the next one."""
        rows = self._tags.take(found.bucket, axis=0)
        hits = (rows == tags[:, None]).reshape(-1).nonzero()[0]
        if len(hits):
            which = hits // SLOTS
            slots = found.bucket[which] * SLOTS + hits % SLOTS
            kept, there = self._log.take(self._numbers[slots])
            same = kept & (there[:, LOW] == low[which]) & (there[:, HIGH] == high[which])
            found.slot[which[same]] = slots[same]
        full = rows[:, SLOTS - 1].nonzero()[0]  # buckets fill from the left
        return full[found.slot[full] < 0]

    def _replace(self, slots: Longs, which: Longs, stored: Numbers, steps: list[Written]) -> None:
        before = self._numbers[slots]
        won = self._claim(slots, stored[which])
        stored[which] = self._numbers[slots]
        steps.append(Written(slots[won], before[won]))

    def _claim(self, slots: Longs, numbers: Numbers) -> NDArray[np.bool_]:
        """Writes numbers into slots; where several want one, the first has it. Returns who has."""
        self._numbers[slots[::-1]] = numbers[::-1]  # of an index that repeats, the last value stays
        return np.equal(self._numbers[slots], numbers)


def _tags(low: Words) -> NDArray[np.uint16]:
    return np.maximum((low >> 48).astype(np.uint16), 1)  # 0 is an empty slot
