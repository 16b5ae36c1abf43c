"""How each service is, in one of four words, judged from what it last answered.

| state      | means                                                                         |
|------------|-------------------------------------------------------------------------------|
| processing | events went through in the last seconds, or it restores what it needs to      |
| ready      | able, and has records waiting                                                 |
| idle       | able, and nothing to do                                                       |
| error      | stopped, not answering, stuck, or what it needs is away: somebody has to look |
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.gateway.rates import StageRates
from services.gateway.scrape import Answer

_NOT_READY = "not ready: "


class Condition(StrEnum):
    PROCESSING = "processing"
    READY = "ready"
    IDLE = "idle"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Health:
    """`name` is a service's, with its slot where it has several processes, or a part's (kafka, registry, postgres)."""

    name: str
    state: Condition
    detail: str = ""
    """One sentence for the person who looks; empty where the state says it all."""


def judge(name: str, answer: Answer | None, rates: StageRates) -> Health:
    """A service's health; `answer` None: it is expected, and no process of it is known."""
    if answer is None:
        return Health(name, Condition.ERROR, "not running: no process of it has told its address")
    if not answer.answered:
        return Health(name, Condition.ERROR, f"does not answer: {answer.detail}")
    if not answer.alive:
        return Health(name, Condition.ERROR, f"makes no progress: {answer.detail}")
    why_not = answer.detail.removeprefix(_NOT_READY)
    if away := ", ".join(sorted(answer.figures.away)):
        return Health(name, Condition.ERROR, f"waits for {away}; {why_not}" if why_not else f"waits for {away}")
    if not answer.ready:
        return Health(name, Condition.PROCESSING, why_not or "starting")
    if rates.per_s > 0 or rates.out_per_s > 0:
        return Health(name, Condition.PROCESSING)
    if rates.lag:
        return Health(name, Condition.READY, f"{rates.lag:,} records waiting")
    return Health(name, Condition.IDLE)


def overall(found: Collection[Health]) -> Condition:
    """The worst decides; then whether anything moves."""
    states = {health.state for health in found}
    for state in (Condition.ERROR, Condition.PROCESSING, Condition.READY):
        if state in states:
            return state
    return Condition.IDLE
