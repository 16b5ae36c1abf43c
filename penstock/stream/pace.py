"""When to commit. Pure: seconds come in, decisions go out.

A transaction costs the broker a few milliseconds of CPU, and readers wait for it: so a drained input commits soon,
but no more often than the broker keeps up with, and a busy one commits at most every 100 ms.
"""

MIN_INTERVAL_S = 0.010
MAX_OPEN_S = 0.100
_RECENT_WEIGHT = 0.2


class Pace:
    def __init__(self, idle_poll_s: float) -> None:
        self._idle_poll_s = idle_poll_s
        self._began_s: float | None = None
        self._last_s = float("-inf")
        self._recent_s = 0.0

    def began(self, now_s: float) -> None:
        self._began_s = now_s

    def ended(self) -> None:
        self._began_s = None

    def committed(self, now_s: float, took_s: float) -> None:
        self._began_s = None
        self._last_s = now_s
        self._recent_s += _RECENT_WEIGHT * (took_s - self._recent_s)

    def due(self, now_s: float, *, drained: bool) -> bool:
        """Whether the open transaction should be committed now; `drained`: the last poll brought nothing."""
        if self._began_s is None:
            return False
        if now_s - self._began_s >= MAX_OPEN_S:
            return True
        return drained and now_s >= self._earliest_s()

    def poll_timeout_s(self, now_s: float) -> float:
        """How long a poll may wait for records before something of ours is due."""
        if self._began_s is None:
            return self._idle_poll_s
        return min(max(0.0, self._earliest_s() - now_s), MAX_OPEN_S)

    def _earliest_s(self) -> float:
        return self._last_s + max(MIN_INTERVAL_S, 2 * self._recent_s)
