"""What is tried again because it failed: counted, by what was asked and why it failed."""

from collections.abc import Callable

from tenacity import RetryCallState

from penstock import metrics
from penstock.errors import cause_of
from penstock.metrics import Metrics

KAFKA = "kafka"

BeforeSleep = Callable[[RetryCallState], None]
"""Tenacity's hook: it is called between an attempt that failed and the next one."""


class Retries:
    """Those of one stage."""

    def __init__(self, stage: str, table: Metrics) -> None:
        self._stage = stage
        self._counter = table.counter(metrics.RETRIES)

    def count(self, dependency: str, why: BaseException | str) -> None:
        cause = why if isinstance(why, str) else cause_of(why)
        self._counter.labels(self._stage, dependency, cause).inc()

    def of(self, dependency: str) -> BeforeSleep:
        def before_sleep(state: RetryCallState) -> None:
            if state.outcome is not None and (error := state.outcome.exception()) is not None:
                self.count(dependency, error)

        return before_sleep
