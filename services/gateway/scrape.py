"""What one service process says about itself at one moment, read from its /livez, /readyz and /metrics."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from penstock import metrics
from penstock.breaker import Circuit

_RECORDS = f"{metrics.RECORDS.name}_total"
_WANTED = (_RECORDS, metrics.LAG.name, metrics.CIRCUIT.name)


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service, as its endpoints file describes it."""

    service: str
    slot: int
    url: str
    pid: int | None = None
    """Tells a restarted process from the one before."""
    started_at_ms: int = 0

    @property
    def name(self) -> str:
        return f"{self.service}.{self.slot}"


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the process began, by stage and outcome; lag in records, by stage.

    `away`: what the process needs and leaves alone for now, its circuit breaker not being closed.
    """

    counts: Mapping[tuple[str, str], float] = field(default_factory=dict)
    lag: Mapping[str, float] = field(default_factory=dict)
    away: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """`alive` and `ready` as the service says; `detail` is its reason where it is not, or why it did not answer."""

    answered: bool
    alive: bool = False
    ready: bool = False
    detail: str = ""
    figures: Figures = field(default_factory=Figures)


def parse_figures(text: str) -> Figures:
    """
    Raises:
        ValueError: not the Prometheus text format.
    """
    lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
    counts: dict[tuple[str, str], float] = defaultdict(float)
    lag: dict[str, float] = defaultdict(float)
    away: set[str] = set()
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            stage = sample.labels.get("stage", "")
            if sample.name == _RECORDS:
                counts[stage, sample.labels.get("outcome", "")] += sample.value
            elif sample.name == metrics.LAG.name:
                lag[stage] += sample.value
            elif sample.name == metrics.CIRCUIT.name and sample.value != Circuit.CLOSED.value:
                away.add(sample.labels.get("dependency", ""))
    return Figures(dict(counts), dict(lag), frozenset(away))
