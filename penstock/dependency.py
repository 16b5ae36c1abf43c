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
from penstock.errors import ThrottledError, passes
from penstock.metrics import Metrics

log = structlog.get_logger(__name__)

Attempting = Callable[[], AbstractAsyncContextManager[None]]
"""Goes around each attempt to reach a dependency: `Dependency.attempt`, or `contextlib.nullcontext`."""


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
        self._told = Circuit.CLOSED
        self._why = ""

    @property
    def trouble(self) -> str | None:
        """Why it is left alone, or tried again; None while nothing is wrong."""
        return None if self._tell() is Circuit.CLOSED else f"{self.name} is away: {self._why}"

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """
        Raises:
            ThrottledError: the circuit is open, or this attempt opened it.
        """
        admitted = self._breaker.admit(self._clock.monotonic_s())
        self._tell()
        if isinstance(admitted, Wait):
            raise ThrottledError(
                f"{self.name} is left alone for {admitted.wait_s:.1f} s: {self._why}", retry_after_s=admitted.wait_s
            )
        try:
            yield
        except Exception as error:
            if not passes(error):
                self._breaker.succeeded(admitted)  # it answered
                self._tell()
                raise
            if (wait_s := self._failed(admitted, str(error))) > 0:
                raise ThrottledError(str(error), retry_after_s=wait_s) from error
            raise
        except BaseException:  # cancelled: by whoever has no time left, or by another one's failure
            self._breaker.abandoned(admitted)
            raise
        self._breaker.succeeded(admitted)
        self._tell()

    def _failed(self, attempt: Attempt, why: str) -> float:
        """Returns how long the circuit is open now."""
        now_s = self._clock.monotonic_s()
        self._why = why
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
