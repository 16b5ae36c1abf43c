"""How runs are compared: within a turn, in another order each turn."""

import pytest

from loadtests.comparison import Contender, Run, Spread, cpu_ratios, rate_ratios, turns_of
from loadtests.contender import Scheduled
from loadtests.report import Target


def _run(per_s: float, cpu_s: float) -> Run:
    return Run(per_s, cpu_s, waited=0.0, peak_mb=1.0, headers=True, timestamps=True, fingerprint_bytes=None)


def test_a_neighbour_that_slows_one_turn_does_not_change_the_ratio() -> None:
    mine, its = [_run(90, 2), _run(9, 4), _run(45, 3)], [_run(100, 1), _run(10, 2), _run(50, 1.5)]
    assert rate_ratios(mine, its) == Spread(0.9, 0.9, 0.9)
    assert cpu_ratios(mine, its) == Spread(2.0, 2.0, 2.0)


def test_everybody_comes_first_once() -> None:
    three = [Contender(name, name) for name in "abc"]
    orders = ["".join(one.name for one in turns_of(three, turn)) for turn in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("rate", 0.9, at_least=0.9), True),
        (Target("rate", 0.899, at_least=0.9), False),
        (Target("wait", 74.9, below=75.0), True),
        (Target("wait", 75.0, below=75.0), False),
    ],
)
def test_a_target_is_met_at_its_bound_or_missed(target: Target, *, met: bool) -> None:
    assert target.met is met


def test_what_waited_is_a_share_of_the_time_with_something_to_do() -> None:
    assert Scheduled(ran_s=4.0, waited_s=7.0).waited_since(Scheduled(ran_s=3.0, waited_s=4.0)) == 0.75
    assert Scheduled(3.0, 4.0).waited_since(Scheduled(3.0, 4.0)) == 0.0
