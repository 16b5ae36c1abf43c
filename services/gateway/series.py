"""The last minutes of each stage's rate, so that a page that is opened now has its chart at once."""

from collections import deque
from collections.abc import Mapping

from services.gateway.rates import STAGES

SERIES_S = 900


class Series:
    """`keep` points; what is older is forgotten."""

    def __init__(self, keep: int) -> None:
        self._points: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=keep)

    def add(self, now_ms: int, per_s: Mapping[str, float]) -> None:
        self._points.append((now_ms, tuple(round(per_s[stage], 1) for stage in STAGES)))

    def columns(self, since_ms: int) -> dict[str, object]:
        """`{"at_ms": [...], "per_s": {stage: [...]}}`, oldest first: what a chart wants, and small as JSON."""
        points = [point for point in self._points if point[0] >= since_ms]
        return {
            "at_ms": [at for at, _ in points],
            "per_s": {stage: [values[i] for _, values in points] for i, stage in enumerate(STAGES)},
        }
