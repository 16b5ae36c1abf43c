"""From counters that only rise (and start again at 0 with their process) to events per second and shares."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.gateway.scrape import Figures, Instance

Outcomes = Mapping[tuple[str, str], float]

STAGES = ("ingest", "dedup", "enrich", "sentiment", "sink-postgres", "sink-s3", "gateway")
"""In the order an event meets them."""

WRITTEN = ("ingest", "written")
"""What came into events.raw, whoever wrote it: ingest itself or a replay."""


@dataclass(slots=True)
class _Seen:
    pid: int | None
    counts: Outcomes


@dataclass(frozen=True, slots=True)
class StageRates:
    stage: str
    per_s: float
    """Events that went in, per second; of ingest, those that it or a replay brought in."""
    out_per_s: float
    dead_per_s: float
    total: int
    """Events since this gateway began to look."""
    dead: int
    lag: int | None
    """Records between what was committed and the end of the input; None where the stage has no input topic."""


@dataclass(slots=True)
class _Moment:
    time_s: float
    totals: Outcomes


@dataclass(slots=True)
class Rates:
    """Takes one look at all instances after the other.

    `window_s` is what a rate is averaged over; it smooths the beat of the transactions without hiding a stop for long.
    """

    window_s: float = 5.0
    share_window_s: float = 60.0
    _totals: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _moments: deque[_Moment] = field(default_factory=deque)
    _lag: dict[str, float] = field(default_factory=dict)

    def add(self, now_s: float, looks: Iterable[tuple[Instance, Figures]]) -> None:
        """`now_s`: monotonic seconds. An instance that did not answer is left out: it counts on where it stopped."""
        self._lag = {}
        for instance, figures in looks:
            before = self._seen.get(instance.name)
            for key, value in figures.counts.items():
                self._totals[key] += _risen(before, instance.pid, key, value)
            self._seen[instance.name] = _Seen(instance.pid, figures.counts)
            for stage, lag in figures.lag.items():
                self._lag[stage] = self._lag.get(stage, 0.0) + lag
        self._moments.append(_Moment(now_s, dict(self._totals)))
        while len(self._moments) > 2 and self._moments[1].time_s <= now_s - self.share_window_s:
            self._moments.popleft()

    @property
    def known(self) -> bool:
        """Whether there were two looks to tell a rate from."""
        return len(self._moments) > 1

    def stage(self, stage: str) -> StageRates:
        leading = next((word for word in ("written", "in") if (stage, word) in self._totals), "out")
        lag = self._lag.get(stage)
        return StageRates(
            stage=stage,
            per_s=self._per_s((stage, leading)),
            out_per_s=self._per_s((stage, "out")),
            dead_per_s=self._per_s((stage, "dead")),
            total=int(self._totals[stage, leading]),
            dead=int(self._totals[stage, "dead"]),
            lag=None if lag is None else int(lag),
        )

    def duplicates(self) -> int:
        return int(self._totals["dedup", "duplicate"])

    def duplicate_share(self) -> float | None:
        """Of what dedup got within the last `share_window_s`; None where it got nothing."""
        if not self._moments:
            return None
        first = self._moments[0].totals
        received = self._totals["dedup", "in"] - first.get(("dedup", "in"), 0.0)
        duplicates = self._totals["dedup", "duplicate"] - first.get(("dedup", "duplicate"), 0.0)
        return min(1.0, duplicates / received) if received > 0 else None

    def _per_s(self, key: tuple[str, str]) -> float:
        if len(self._moments) < 2:
            return 0.0
        last = self._moments[-1]
        first = next((m for m in reversed(self._moments) if m.time_s <= last.time_s - self.window_s), self._moments[0])
        passed_s = last.time_s - first.time_s
        return (last.totals.get(key, 0.0) - first.totals.get(key, 0.0)) / passed_s if passed_s > 0 else 0.0


def _risen(before: _Seen | None, pid: int | None, key: tuple[str, str], value: float) -> float:
    """What a counter counted since the last look; a new process, or one seen for the first time, counts from 0.

    What a process had counted before this gateway ever looked does not count: a rate would leap.
    """
    if before is None:
        return 0.0
    earlier = before.counts.get(key, 0.0)
    return value if before.pid != pid or value < earlier else value - earlier
