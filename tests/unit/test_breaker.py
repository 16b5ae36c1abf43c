"""The circuit breaker: whatever happens in whatever order, it lets through what it should and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.breaker import Attempt, Breaker, BreakerSettings, Circuit, Wait

SETTINGS = BreakerSettings(failures=3, open_s=1.0, open_max_s=8.0)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    for _ in range(SETTINGS.failures):
        breaker.failed(admitted(breaker, at_s), at_s)
    assert breaker.circuit(at_s) is Circuit.OPEN
    return breaker


def admitted(breaker: Breaker, now_s: float) -> Attempt:
    answer = breaker.admit(now_s)
    assert isinstance(answer, Attempt)
    return answer


def refused(breaker: Breaker, now_s: float) -> float:
    answer = breaker.admit(now_s)
    assert isinstance(answer, Wait)
    return answer.wait_s


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(SETTINGS)
    for outcome in "ff.ff.ff":
        attempt = admitted(breaker, 0.0)
        if outcome == "f":
            breaker.failed(attempt, 0.0)
        else:
            breaker.succeeded(attempt)
        assert breaker.circuit(0.0) is Circuit.CLOSED
    breaker.failed(admitted(breaker, 0.0), 0.0)
    assert breaker.circuit(0.0) is Circuit.OPEN


def test_while_open_it_says_how_long_to_wait() -> None:
    breaker = opened()
    assert refused(breaker, 0.25) == 0.75
    assert breaker.open_for_s(0.25) == 0.75


def test_half_open_lets_one_attempt_through_and_its_success_closes() -> None:
    breaker = opened()
    assert breaker.circuit(1.0) is Circuit.HALF_OPEN
    attempt = admitted(breaker, 1.0)
    assert refused(breaker, 1.0) > 0
    breaker.succeeded(attempt)
    assert breaker.circuit(1.0) is Circuit.CLOSED
    admitted(breaker, 1.0)
    admitted(breaker, 1.0)


def test_each_failed_attempt_doubles_the_pause_up_to_the_most() -> None:
    breaker, now_s, pauses = opened(), 0.0, []
    for _ in range(6):
        now_s += breaker.open_for_s(now_s)
        breaker.failed(admitted(breaker, now_s), now_s)
        pauses.append(breaker.open_for_s(now_s))
    assert pauses == [2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    now_s += 8.0
    breaker.succeeded(admitted(breaker, now_s))
    for _ in range(SETTINGS.failures):
        breaker.failed(admitted(breaker, now_s), now_s)
    assert breaker.open_for_s(now_s) == 1.0, "it begins anew"


@pytest.mark.parametrize("late", ["succeeded", "failed"])
def test_an_attempt_from_before_it_opened_says_nothing_about_now(late: str) -> None:
    breaker = Breaker(SETTINGS)
    slow = admitted(breaker, 0.0)
    for _ in range(SETTINGS.failures):
        breaker.failed(admitted(breaker, 0.0), 0.0)
    trial = admitted(breaker, 1.0)
    if late == "failed":
        breaker.failed(slow, 1.0)
    else:
        breaker.succeeded(slow)
    assert breaker.circuit(1.0) is Circuit.HALF_OPEN
    assert refused(breaker, 1.0) > 0, "the trial is still under way"
    breaker.succeeded(trial)
    assert breaker.circuit(1.0) is Circuit.CLOSED


def test_pauses_are_jittered() -> None:
    breaker = Breaker(BreakerSettings(failures=1, open_s=1.0, jitter=lambda: 0.5))
    breaker.failed(admitted(breaker, 0.0), 0.0)
    assert breaker.open_for_s(0.0) == 0.5


@given(
    st.lists(
        # A step, and with it how long to wait, or which of the attempts under way ends, as a share of them.
        st.tuples(st.sampled_from(["try"] * 3 + ["bad"] * 3 + ["good", "gone", "wait", "wait"]), st.floats(0, 1)),
        min_size=20,
        max_size=100,
    )
)
def test_it_never_lets_two_through_while_not_closed_and_never_locks_up(story: list[tuple[str, float]]) -> None:
    breaker, now_s, failures = Breaker(SETTINGS), 0.0, 0
    under_way: list[tuple[Attempt, Circuit]] = []  # with the circuit that let it through
    for step, share in story:
        before = breaker.circuit(now_s)
        if step == "wait":
            now_s += 5 * share
        elif step == "try":
            answer = breaker.admit(now_s)
            if isinstance(answer, Attempt):
                assert before is not Circuit.OPEN
                if before is Circuit.HALF_OPEN:
                    assert answer.change not in [other.change for other, _ in under_way]
                under_way.append((answer, before))
            else:
                assert before is not Circuit.CLOSED
                assert 0 < answer.wait_s <= SETTINGS.open_max_s
        elif under_way:
            attempt, let_through_by = under_way.pop(int(share * (len(under_way) - 1)))
            if step == "gone":
                breaker.abandoned(attempt)
                assert breaker.circuit(now_s) is before
                continue
            if attempt.change == breaker._changes:
                failures = failures + 1 if step == "bad" else 0
            if step == "good":
                breaker.succeeded(attempt)
            else:
                breaker.failed(attempt, now_s)
            if before is Circuit.CLOSED and breaker.circuit(now_s) is Circuit.OPEN:
                assert failures >= SETTINGS.failures
            if before is let_through_by is Circuit.HALF_OPEN:
                assert breaker.circuit(now_s) is (Circuit.CLOSED if step == "good" else Circuit.OPEN)
    for attempt, _ in under_way:
        breaker.failed(attempt, now_s)
    assert isinstance(breaker.admit(now_s + SETTINGS.open_max_s), Attempt), "however long it failed, it is tried again"
