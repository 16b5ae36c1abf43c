"""A circuit breaker: when to leave something alone that failed several times, and when to ask it again.

Pure: `now_s` (monotonic seconds) and outcomes come in, decisions go out. The pattern is Nygard's ("Release It!",
2007): closed, every attempt is let through; after some failures in a row open, none is; after a pause half-open, one
is, and its outcome decides; the pause doubles each time it fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Circuit(Enum):
    """The value is what the metric says."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


def _none() -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Opens after `failures` in a row, for `open_s`, then twice as long each time, up to `open_max_s`."""

    failures: int = 3
    open_s: float = 0.5
    open_max_s: float = 10.0

    jitter: Callable[[], float] = _none
    """A factor for every pause, 0 to 1: random in production, so that instances do not come back all at once."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Leave to try once; of the time since the circuit changed for the `change`th time."""

    change: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after `wait_s`."""

    wait_s: float


class Breaker:
    """Every `Attempt` is given back once, by `succeeded`, `failed` or `abandoned`; one from before the last change says
    nothing."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._changes = 0
        self._failures = 0
        self._pauses = 0
        self._open_until_s = 0.0
        self._trying = False

    def circuit(self, now_s: float) -> Circuit:
        if self._pauses == 0:
            return Circuit.CLOSED
        return Circuit.OPEN if now_s < self._open_until_s else Circuit.HALF_OPEN

    def open_for_s(self, now_s: float) -> float:
        """How long nobody is admitted any more; 0 unless it is open."""
        return self._open_until_s - now_s if self.circuit(now_s) is Circuit.OPEN else 0.0

    def admit(self, now_s: float) -> Attempt | Wait:
        match self.circuit(now_s):
            case Circuit.OPEN:
                return Wait(self.open_for_s(now_s))
            case Circuit.HALF_OPEN if self._trying:
                return Wait(self._settings.open_s)
            case Circuit.HALF_OPEN:
                self._trying = True
        return Attempt(self._changes)

    def succeeded(self, attempt: Attempt) -> None:
        if attempt.change != self._changes:
            return
        self._failures = 0
        if self._pauses:
            self._pauses = 0
            self._change()

    def failed(self, attempt: Attempt, now_s: float) -> None:
        if attempt.change != self._changes:
            return
        self._failures += 1
        if self._pauses or self._failures >= self._settings.failures:
            pause_s = min(self._settings.open_max_s, self._settings.open_s * 2.0 ** min(self._pauses, 16))
            self._open_until_s = now_s + self._settings.jitter() * pause_s
            self._pauses += 1
            self._change()

    def abandoned(self, attempt: Attempt) -> None:
        """It was broken off, and nobody knows how it would have gone: half-open, another one may try."""
        if attempt.change == self._changes:
            self._trying = False

    def _change(self) -> None:
        self._changes += 1
        self._trying = False
