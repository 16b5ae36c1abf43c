"""The one word for how a service is."""

import pytest

from services.gateway.health import Condition, Health, judge, overall
from services.gateway.rates import StageRates
from services.gateway.scrape import Answer, Figures

WELL = Answer(answered=True, alive=True, ready=True)
AWAY = Figures(away=frozenset({"postgres"}))


def rates(per_s: float = 0.0, lag: int | None = 0, out_per_s: float = 0.0) -> StageRates:
    return StageRates("dedup", per_s, out_per_s, 0.0, 0, 0, lag)


@pytest.mark.parametrize(
    ("answer", "figures", "state"),
    [
        (None, rates(5), Condition.ERROR),
        (Answer(answered=False, detail="refused"), rates(5), Condition.ERROR),
        (Answer(answered=True, alive=False, ready=True), rates(5), Condition.ERROR),
        (Answer(answered=True, alive=True, ready=False), rates(), Condition.PROCESSING),
        (Answer(answered=True, alive=True, ready=False, figures=AWAY), rates(5), Condition.ERROR),
        (Answer(answered=True, alive=True, ready=True, figures=AWAY), rates(5), Condition.ERROR),
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


def test_what_is_away_is_named_with_what_the_service_says_of_it() -> None:
    answer = Answer(answered=True, alive=True, detail="not ready: postgres is away: connection refused", figures=AWAY)
    assert judge("sink-postgres", answer, rates()).detail == (
        "waits for postgres; postgres is away: connection refused"
    )
    assert judge("x", Answer(answered=True, alive=True, ready=True, figures=AWAY), rates()).detail == (
        "waits for postgres"
    )


def test_a_service_that_is_not_ready_says_what_it_does() -> None:
    assert judge("dedup", Answer(answered=True, alive=True), rates()).detail == "starting"
    restoring = Answer(answered=True, alive=True, detail="not ready: restoring events.raw[3]")
    assert judge("dedup", restoring, rates()).detail == "restoring events.raw[3]"


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
