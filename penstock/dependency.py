"""Something outside Kafka that a process needs: Postgres, an object store, the schema registry.

A circuit breaker stands before it. While it is open nobody asks: the one who would is told when to come back, a loop
keeps its partitions paused until then and goes on polling.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from penstock import metrics
from penstock.breaker import Attempt, Breaker, BreakerSettings, Circuit, Wait
from penstock.clock import Clock
from penstock.errors import ThrottledError, cause_of, passes
from penstock.metrics import Metrics
from penstock.retries import BeforeSleep, Retries

log = structlog.get_logger(__name__)

Attempting = Callable[[], AbstractAsyncContextManager[BeforeSleep | None]]
"""Goes around each attempt to reach a dependency: `Dependency.attempt`, or `contextlib.nullcontext`. Who tries several
times within one, by tenacity, hands it what it gives."""


class Dependency:
    """
    Args:
        stage: whose dependency it is.
        name: for metrics and people, e.g. `postgres`.
    """

    def __init__(self, stage: str, name: str, settings: BreakerSettings, clock: Clock, table: Metrics) -> None:
        self.name = name
        self._breaker = Breaker(settings)
        self._clock = clock
        gauge = table.gauge(metrics.CIRCUIT).labels(stage, name)
        gauge.set_function(lambda: self._breaker.circuit(clock.monotonic_s()).value)
        self._retries = Retries(stage, table)
        self._told = Circuit.CLOSED
        self._why = ""
        self._cause: str | None = None
        """Of the last attempt's failure; None where it did not fail."""

    @property
    def trouble(self) -> str | None:
        """Why it is left alone, or tried again; None while nothing is wrong."""
        return None if self._tell() is Circuit.CLOSED else f"{self.name} is away: {self._why}"

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[BeforeSleep]:
        """Counted as a retry when the one before failed.

        Raises:
            ThrottledError: the circuit is open, or this attempt opened it.
        """
        admitted = self._breaker.admit(self._clock.monotonic_s())
        self._tell()
        if isinstance(admitted, Wait):
            raise ThrottledError(
                f"{self.name} is left alone for {admitted.wait_s:.1f} s: {self._why}", retry_after_s=admitted.wait_s
            )
        if self._cause is not None:
            self._retries.count(self.name, self._cause)
        try:
            yield self._retries.of(self.name)
        except Exception as error:
            if not passes(error):
                self._answered(admitted)
                raise
            if (wait_s := self._failed(admitted, error)) > 0:
                raise ThrottledError(str(error), retry_after_s=wait_s) from error
            raise
        except BaseException:  # cancelled: by whoever has no time left, or by another one's failure
            self._breaker.abandoned(admitted)
            raise
        self._answered(admitted)

    def _answered(self, attempt: Attempt) -> None:
        self._cause = None
        self._breaker.succeeded(attempt)
        self._tell()

    def _failed(self, attempt: Attempt, error: Exception) -> float:
        """Returns how long the circuit is open now."""
        now_s = self._clock.monotonic_s()
        self._cause, self._why = cause_of(error), str(error)
        self._breaker.failed(attempt, now_s)
        self._tell()
        return self._breaker.open_for_s(now_s)

    def _tell(self) -> Circuit:
        circuit = self._breaker.circuit(self._clock.monotonic_s())
        if circuit is not self._told:
            self._told = circuit
            tell = log.info if circuit is Circuit.CLOSED else log.warning
            tell("circuit", dependency=self.name, state=circuit.name.lower().replace("_", "-"), reason=self._why)
        return circuit
