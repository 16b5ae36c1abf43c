"""The bucket never gives more than it should, and says how long to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.token_bucket import TokenBucket

rates = st.floats(0.01, 10_000)
bursts = st.floats(0.5, 1_000)
steps = st.lists(st.tuples(st.floats(-2, 30), st.integers(0, 500)), max_size=60)


@given(rates, bursts, steps)
def test_no_span_of_time_gets_more_than_rate_times_span_plus_burst(
    rate: float, burst: float, asked: list[tuple[float, int]]
) -> None:
    bucket, now_s, latest_s = TokenBucket(rate, burst), 100.0, float("-inf")
    given_out: list[tuple[float, float]] = []
    for step_s, count in asked:
        now_s += step_s
        latest_s = max(latest_s, now_s)
        if bucket.take(count, now_s):
            given_out.append((latest_s, float(count)))
        given_out.append((latest_s, float(bucket.take_up_to(count, now_s))))
    for first in range(len(given_out)):
        total = 0.0
        for at_s, tokens in given_out[first:]:
            total += tokens
            assert total <= rate * (at_s - given_out[first][0]) + burst + 1e-6 * (1 + total)


@given(rates, bursts, st.integers(0, 500), st.integers(1, 500))
def test_after_the_wait_it_told_the_tokens_are_there(rate: float, burst: float, first: int, second: int) -> None:
    bucket = TokenBucket(rate, burst)
    bucket.take_up_to(first, 0.0)
    wait_s = bucket.wait_s(second, 0.0)
    assert wait_s >= 0
    assert bucket.level(wait_s) >= min(second, burst) * (1 - 1e-9) - 1e-9
    if second <= burst:
        assert bucket.take(second, wait_s * (1 + 1e-9) + 1e-6)


@given(rates, bursts, st.integers(0, 500))
def test_before_the_wait_is_over_they_are_not(rate: float, burst: float, count: int) -> None:
    bucket = TokenBucket(rate, burst)
    bucket.take_up_to(10_000, 0.0)
    wait_s = bucket.wait_s(count, 0.0)
    if wait_s > 0.001:
        assert not bucket.take(count, wait_s * 0.99)


def test_it_is_full_at_first_and_all_or_nothing() -> None:
    bucket = TokenBucket(10, 5)
    assert not bucket.take(6, 0.0)
    assert bucket.take(5, 0.0)
    assert not bucket.take(1, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.1)


def test_a_clock_that_steps_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(10, 5)
    assert bucket.take(5, 100.0)
    assert bucket.level(50.0) == 0
    assert bucket.level(100.1) == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_bucket_that_never_gives_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(rate, burst)
