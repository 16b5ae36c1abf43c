"""Latency without coordinated omission (Gil Tene, "How NOT to Measure Latency").

Requests are due by a schedule that does not wait for answers, and a latency counts from when its request was due. A
service that stalls for a second is then charged with that second by everything that was due in it; a client that waits
for the answer before it sends the next would have charged it once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Latencies:
    """In ms, of all that was due; what never came has waited until the end."""

    count: int
    unseen: int
    ms: Mapping[float, float]
    """By percentile; 100 is the longest."""


def due_times(started_s: float, per_s: float, count: int) -> Iterator[float]:
    return (started_s + number / per_s for number in range(count))


def latencies(due_s: Mapping[str, float], seen_s: Mapping[str, float], ended_s: float) -> Latencies:
    waited = sorted((seen_s.get(name, ended_s) - due) * 1000 for name, due in due_s.items())
    unseen = sum(name not in seen_s for name in due_s)
    return Latencies(len(waited), unseen, {at: percentile(waited, at) for at in (*PERCENTILES, 100.0)})


def percentile(ordered: Sequence[float], at: float) -> float:
    """The smallest value that at least `at` percent do not exceed (nearest rank); exact, since nothing is binned."""
    return ordered[max(0, math.ceil(len(ordered) * at / 100) - 1)]
