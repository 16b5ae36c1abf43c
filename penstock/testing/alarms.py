"""What falls due by itself: session and transaction time-outs, markers that arrive late."""

import heapq
from collections.abc import Callable

Alarm = Callable[[float], None]
"""Called with the time it was set for, in seconds."""


class Alarms:
    """Callbacks by due time; equal times go in the order they were set. Nothing is ever cancelled: an alarm whose
    cause is gone finds that out itself."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0

    def at(self, due_s: float, alarm: Alarm) -> None:
        heapq.heappush(self._heap, (due_s, self._count, alarm))
        self._count += 1

    @property
    def next_s(self) -> float:
        """When the next alarm is due; infinity if none is set."""
        return self._heap[0][0] if self._heap else float("inf")

    def ring(self, now_s: float) -> None:
        """Calls all that are due at `now_s`, those included that they set."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, alarm = heapq.heappop(self._heap)
            alarm(due_s)
