"""What clients are fed: events that were turned into bytes once, and the newest of them kept at hand."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.cursor import Vector
from services.gateway.filters import Facets


@dataclass(frozen=True, slots=True)
class Item:
    """One event of events.scored, shared by every client that gets it."""

    partition: int
    next: int
    """The offset after it."""
    timestamp_ms: int
    """Ingest time."""
    frame: bytes
    """The whole message as it goes out, JSON in UTF-8."""
    facets: Facets


class Recent:
    """The newest events of every partition, so that a client that is a little behind need not be read for.

    From `covered[p]` on, every event of partition p that was published is here. Bounded by number and bytes.
    """

    def __init__(self, start: Vector, *, max_events: int, max_bytes: int) -> None:
        self.covered = dict(start)
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            self._items.append(item)
            self._bytes += len(item.frame)
        while self._items and (len(self._items) > self._max_events or self._bytes > self._max_bytes):
            oldest = self._items.popleft()
            self._bytes -= len(oldest.frame)
            self.covered[oldest.partition] = oldest.next

    def covers(self, position: Vector) -> bool:
        return all(position[partition] >= first for partition, first in self.covered.items())

    def after(self, position: Vector) -> list[Item]:
        """All that is at hand from `position` on, in the order it was published."""
        return [item for item in self._items if item.next > position[item.partition]]
