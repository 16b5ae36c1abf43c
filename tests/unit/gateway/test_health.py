"""The one word for how a service is."""

import pytest

from services.gateway.health import Condition, Health, judge, overall
from services.gateway.rates import StageRates
from services.gateway.scrape import Answer

WELL = Answer(answered=True, alive=True, ready=True)


def rates(per_s: float = 0.0, lag: int | None = 0, out_per_s: float = 0.0) -> StageRates:
    return StageRates("dedup", per_s, out_per_s, 0.0, 0, 0, lag)


@pytest.mark.parametrize(
    ("answer", "figures", "state"),
    [
        (None, rates(5), Condition.ERROR),
        (Answer(answered=False, detail="refused"), rates(5), Condition.ERROR),
        (Answer(answered=True, alive=False, ready=True), rates(5), Condition.ERROR),
        (Answer(answered=True, alive=True, ready=False), rates(), Condition.PROCESSING),
        (WELL, rates(5), Condition.PROCESSING),
        (WELL, rates(0, out_per_s=3), Condition.PROCESSING),
        (WELL, rates(0, lag=7), Condition.READY),
        (WELL, rates(0, lag=0), Condition.IDLE),
        (WELL, rates(0, lag=None), Condition.IDLE),
    ],
)
def test_a_service_is_in_one_of_four_states(answer: Answer | None, figures: StageRates, state: Condition) -> None:
    assert judge("dedup", answer, figures).state is state


def test_an_error_says_why() -> None:
    assert "refused" in judge("dedup", Answer(answered=False, detail="refused"), rates()).detail
    assert "not running" in judge("dedup", None, rates()).detail


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["idle", "error", "processing"], Condition.ERROR),
        (["idle", "ready", "processing"], Condition.PROCESSING),
        (["idle", "ready"], Condition.READY),
        (["idle"], Condition.IDLE),
        ([], Condition.IDLE),
    ],
)
def test_the_worst_state_is_that_of_the_whole(states: list[str], worst: Condition) -> None:
    assert overall([Health("x", Condition(state)) for state in states]) is worst
