"""How `python -m loadtests.scaling` judges: what was held, and how long nothing came."""

import pytest

from loadtests.scaling import held_since, longest_pause_s

INF = float("inf")


def test_what_was_held_as_a_change_began_counts_and_what_was_given_up_before_does_not() -> None:
    history = [
        (-INF, frozenset[int]()),
        (1.0, frozenset({0, 1, 2})),
        (2.0, frozenset({0, 1})),
        (5.0, frozenset({0, 3})),
    ]
    assert held_since(history, 0.5) == {0, 1, 2, 3}
    assert held_since(history, 3.0) == {0, 1, 3}
    assert held_since(history, 6.0) == {0, 3}


@pytest.mark.parametrize(
    ("arrivals", "pause_s"),
    [
        ([0, 4, 10, 11, 13, 14, 14.5], 6.0),  # it began before the change
        ([0, 8, 9, 9.5, 10, 11, 14], 3.0),  # what was before the change is not its pause
        ([8, 10, 11], 4.0),  # it has not ended yet
        ([], INF),
    ],
)
def test_a_pause_counts_that_touches_the_time_since_the_change(arrivals: list[float], pause_s: float) -> None:
    assert longest_pause_s(arrivals, 9.75, 15.0) == pause_s
