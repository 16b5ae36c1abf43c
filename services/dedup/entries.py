"""First-seen entries in order of arrival, in memory exactly as they stand in the changelog.

An entry is a row of four little-endian 64-bit words: the fingerprint's two halves, the timestamp in ms, and the
offset of the record that was first. 32 bytes, no object, no pointer.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Longs = NDArray[np.int64]

ENTRY_BYTES = 32
WORD = np.dtype("<u8")
LONG = np.dtype("<i8")
LOW, HIGH, TIMESTAMP, OFFSET = range(4)

_CHUNK_BITS = 12
_CHUNK = 1 << _CHUNK_BITS
_GROWTH = 16  # the pool grows by a sixteenth
NUMBERS = 1 << 32


def timestamps(entries: Words) -> Longs:
    """The timestamp column of `(n, 4)` entries, as a view."""
    return entries[:, TIMESTAMP].view(LONG)


def offsets(entries: Words) -> Longs:
    """The offset column of `(n, 4)` entries, as a view."""
    return entries[:, OFFSET].view(LONG)


class EntryLog:
    """A queue of entries: appended at the end, forgotten at the start, addressable in between.

    Every entry has a number, counted from `first`; `[start, end)` is kept. Space is a pool of chunks of 4,096 entries:
    a chunk that is forgotten is used again, and the pool grows by a sixteenth at a time, in place where the allocator
    can remap pages (Linux), so that growth neither copies nor doubles anything.
    """

    def __init__(self, first: int = 0) -> None:
        self.start = first
        self.end = first
        self._base = first - first % _CHUNK  # the number that chunk 0 of the directory starts with
        self._pool: Words = np.zeros((0, 4), WORD)
        self._directory: Longs = np.zeros(0, np.int64)
        self._latest: list[int] = []  # per chunk of the directory: its highest timestamp
        self._free: list[int] = []

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def size_bytes(self) -> int:
        return self._pool.nbytes + self._directory.nbytes

    def append(self, entries: Words) -> None:
        done = 0
        while done < len(entries):
            chunk, at = divmod(self.end - self._base, _CHUNK)
            if chunk == len(self._directory):
                self._add_chunk()
            part = entries[done : done + _CHUNK - at]
            row = int(self._directory[chunk]) * _CHUNK + at
            self._pool[row : row + len(part)] = part
            self._latest[chunk] = max(self._latest[chunk], int(timestamps(part).max()))
            self.end += len(part)
            done += len(part)

    def truncate(self, end: int) -> None:
        """Takes back what was appended at `end` and later."""
        self.end = end
        chunks = -(-(end - self._base) // _CHUNK)
        self._drop_chunks(chunks, len(self._directory))

    def release(self, until_ms: int) -> None:
        """Forgets whole chunks from the start on whose entries are all of `until_ms` or earlier."""
        full = (self.end - self._base) // _CHUNK
        chunks = next((i for i in range(full) if self._latest[i] > until_ms), full)
        if chunks:
            self._drop_chunks(0, chunks)
            self._base += chunks * _CHUNK
            self.start = max(self.start, self._base)

    def parts(self, start: int, end: int, limit: int = _CHUNK) -> Iterator[Words]:
        """The entries `[start, end)` as views of at most `limit` rows, in order; not to be kept over a change."""
        while start < end:
            chunk, at = divmod(start - self._base, _CHUNK)
            size = min(_CHUNK - at, end - start, limit)
            row = int(self._directory[chunk]) * _CHUNK + at
            yield self._pool[row : row + size]
            start += size

    def take(self, numbers: NDArray[np.uint32]) -> tuple[NDArray[np.bool_], Words]:
        """Entries by the low 32 bits of their numbers.

        Returns:
            which of them are still kept, and as many rows; the row of one that is not kept is arbitrary.
        """
        distance = self._distance(numbers)
        kept = distance < self.end - self._base
        distance[~kept] = 0
        rows = (self._directory[distance >> _CHUNK_BITS] << _CHUNK_BITS) + (distance & (_CHUNK - 1))
        return kept, self._pool.take(rows, axis=0)

    def kept(self, numbers: NDArray[np.uint32], end: int) -> NDArray[np.bool_]:
        """Which of the numbers are of entries that are still kept and come before `end`."""
        return np.less(self._distance(numbers), end - self._base)

    def _distance(self, numbers: NDArray[np.uint32]) -> Longs:
        """How far behind the base: wraps as the numbers do, so that forgotten ones are far beyond the end."""
        return (numbers - np.uint32(self._base % NUMBERS)).astype(np.int64)

    def _add_chunk(self) -> None:
        if not self._free:
            before = len(self._pool) // _CHUNK
            after = before + 1 + before // _GROWTH
            # No view of the pool outlives a call, so it may move; reference counting cannot see that.
            self._pool.resize((after * _CHUNK, 4), refcheck=False)
            self._free.extend(range(after - 1, before - 1, -1))
        self._directory = np.append(self._directory, self._free.pop())
        self._latest.append(-1)

    def _drop_chunks(self, start: int, stop: int) -> None:
        self._free.extend(int(chunk) for chunk in self._directory[start:stop])
        self._directory = np.delete(self._directory, slice(start, stop))
        del self._latest[start:stop]
