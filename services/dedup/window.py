"""What is an original, a duplicate or late, in one partition.

The rule, with ts the ingest time, W the window, and records taken in order of their offsets:

- The watermark is the highest ts so far, the record's own included. Late is ts < watermark - grace: it is not decided
  on, and changes nothing.
- u is the original of e iff u is an original, their fingerprints are equal, and max(0, ts(e) - ts(u)) < W. What has
  none is an original itself. Duplicates do not refresh: only originals are remembered.
- The clamp at 0 says what an e that is older than u is, but came after it: it is at distance 0, a duplicate. It can be
  older by at most the grace, else it were late.

One entry per fingerprint is enough. A second original v of a fingerprint has ts(v) >= ts(u) + W, so whatever
comes after v and is within W of u is within W of v too: the newest original decides alone, and it is the one that
duplicates are said to be of. And no later record that is not late can be within W of an entry of watermark - W - grace
or earlier: forgetting those never changes a decision, only memory.

Decisions depend on the records alone, not on how they were cut into batches.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from services.dedup.entries import LONG, Longs, Words, offsets, timestamps
from services.dedup.table import Table

NO_WATERMARK = -1
"""Before the first record. Timestamps are positive."""


class Verdict(IntEnum):
    ORIGINAL = 0
    DUPLICATE = 1
    LATE = 2


@dataclass(frozen=True, slots=True)
class Decisions:
    """Per record; `first_*` is the coordinate of a duplicate's original, 0 for others."""

    verdict: NDArray[np.int8]
    first_offset: Longs
    first_timestamp: Longs

    @classmethod
    def all_original(cls, count: int) -> "Decisions":
        return cls(np.zeros(count, np.int8), np.zeros(count, LONG), np.zeros(count, LONG))

    def update(self, positions: Longs, others: "Decisions") -> None:
        """Sets the decisions on the records at these positions."""
        self.verdict[positions] = others.verdict
        self.first_offset[positions] = others.first_offset
        self.first_timestamp[positions] = others.first_timestamp

    def at(self, verdict: Verdict) -> Longs:
        """The positions of the records that are this."""
        return np.flatnonzero(self.verdict == verdict)


class Window:
    """
    Args:
        window_ms: W.
        grace_ms: how far behind the watermark a record may be.
    """

    def __init__(self, window_ms: int, grace_ms: int, table: Table) -> None:
        self._window_ms = window_ms
        self._grace_ms = grace_ms
        self.table = table
        self.watermark = NO_WATERMARK
        self._committed_watermark = NO_WATERMARK

    def decide(self, entries: Words) -> Decisions:
        """Takes in records as `(n, 4)` entries, n >= 1, in order of their offsets; provisional until `commit`."""
        decisions = Decisions.all_original(len(entries))
        times = timestamps(entries)
        watermarks = np.maximum(np.maximum.accumulate(times), self.watermark)
        self.watermark = int(watermarks[-1])
        late = times < watermarks - self._grace_ms
        if late.any():
            decisions.verdict[late] = Verdict.LATE
            timely = (~late).nonzero()[0]
        else:
            timely = np.arange(len(entries))
        self._decide(entries, timely, decisions)
        return decisions

    def commit(self) -> None:
        self._committed_watermark = self.watermark
        self.table.commit(self.dead_until(self.watermark))

    def undo(self) -> None:
        self.watermark = self._committed_watermark
        self.table.undo()

    def restore(self, watermark: int) -> None:
        """Where a restored table stands."""
        self.watermark = self._committed_watermark = watermark

    def dead_until(self, watermark: int) -> int:
        """Entries of this time and earlier can not matter any more."""
        return watermark - self._window_ms - self._grace_ms

    def _decide(self, entries: Words, which: Longs, decisions: Decisions) -> None:
        """Decides on the records at positions `which`, none of them late."""
        if not len(which):
            return
        timely = entries if len(which) == len(entries) else entries[which]
        times = timestamps(timely)
        if len(which) > 1 and int(times.max()) - int(times.min()) >= self._window_ms:
            # A fingerprint could be original twice in this batch: cut it until it could not.
            half = len(which) // 2
            self._decide(entries, which[:half], decisions)
            self._decide(entries, which[half:], decisions)
            return
        found = self.table.find(timely)
        known = (found.slot >= 0).nonzero()[0]
        within = np.zeros(len(which), np.bool_)
        if len(known):
            originals = self.table.entries(found.slot[known])
            near = times[known] - timestamps(originals) < self._window_ms
            within[known] = near
            self._call_duplicates(which[known[near]], originals[near], decisions)
        fresh = (~within).nonzero()[0]
        if not len(fresh):
            return
        candidates = timely[fresh]
        first = self.table.put(candidates, type(found)(found.slot[fresh], found.bucket[fresh]))
        repeats = (first != np.arange(len(fresh))).nonzero()[0]
        # All are less than W apart, so what repeats an original of this batch is its duplicate.
        self._call_duplicates(which[fresh[repeats]], candidates[first[repeats]], decisions)
        if within.any() and (found.slot[fresh] >= 0).any():
            self._name_newest(timely, which, known[near], decisions)

    def _name_newest(self, timely: Words, which: Longs, duplicates: Longs, decisions: Decisions) -> None:
        """An original of this batch may have come between an older one and its duplicate: name the newest."""
        found = self.table.find(timely[duplicates])
        newest = self.table.entries(found.slot)
        came_between = offsets(newest) < offsets(timely[duplicates])
        self._call_duplicates(which[duplicates[came_between]], newest[came_between], decisions)

    def _call_duplicates(self, positions: Longs, originals: Words, decisions: Decisions) -> None:
        decisions.verdict[positions] = Verdict.DUPLICATE
        decisions.first_offset[positions] = offsets(originals)
        decisions.first_timestamp[positions] = timestamps(originals)
