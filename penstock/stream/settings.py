"""What a loop can be told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.stream.valve import ValveSettings


def _none() -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """`commit_deadline_s` must be below the transaction time-out, which must be below max.poll.interval."""

    stage: str
    max_records: int = 5000
    commit_deadline_s: float = 8.0
    restore_deadline_s: float = 30.0
    """How long the changelog may disagree with the committed offset before that is an error."""
    retry_pause_s: float = 0.05
    backoff_start_s: float = 0.2
    backoff_max_s: float = 10.0
    """As a circuit breaker's: what has come back is noticed within so long, whatever kept the loop before."""
    housekeeping_s: float = 60.0
    valve: ValveSettings = field(default_factory=ValveSettings)
    idle_poll_s: float = 0.25
    """How long a poll of a loop that has nothing to commit may wait."""
    sink_poll_s: float = 0.05
    """How long a poll of a sink may wait: a flush may be due by age or idleness."""
    restore_chunk_records: int = 500
    """How much of a changelog is read between two polls."""
    jitter: Callable[[], float] = _none
    """A factor for every pause: random in production, so that instances do not come back all at once."""

    def backoff_s(self, failures: int) -> float:
        """Exponential in the number of failures in a row."""
        return self.jitter() * min(self.backoff_max_s, self.backoff_start_s * 2.0 ** min(failures - 1, 16))
