"""Planted duplicates: as many as asked for, near and far, the same ones every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.replay.duplicates import FAR, Duplicator


def stream(count: int, share: float, seed: int = 0) -> tuple[list[int], Duplicator[int]]:
    planter: Duplicator[int] = Duplicator(share, seed)
    out = [sent for item in range(count) for sent in planter.put(item)]
    return out + planter.rest(), planter


@given(st.integers(0, 3_000), st.floats(0, 1), st.integers(0, 5))
def test_every_item_comes_once_and_the_share_of_them_twice(count: int, share: float, seed: int) -> None:
    out, planter = stream(count, share, seed)
    assert len(out) == count + planter.planted
    assert planter.planted == int(share * count)
    assert set(out) == set(range(count))
    assert len(out) - len(set(out)) == planter.planted


def test_an_original_always_comes_before_its_duplicate_and_originals_keep_their_order() -> None:
    out, _ = stream(20_000, 0.3)
    firsts = list(dict.fromkeys(out))
    assert firsts == list(range(20_000))


def test_some_are_right_behind_and_some_far_apart() -> None:
    out, planter = stream(20_000, 0.15)
    seen: dict[int, int] = {}
    gaps = [at - seen[item] for at, item in enumerate(out) if item in seen or seen.setdefault(item, at) != at]
    near = sum(gap == 1 for gap in gaps)
    assert len(gaps) == planter.planted == 3_000
    assert 0.4 < near / len(gaps) < 0.6
    assert sum(gap > 1_000 for gap in gaps) > 800
    assert max(gaps) <= FAR * 1.16 + 1


def test_the_same_seed_plants_the_same_ones() -> None:
    assert stream(5_000, 0.2, 7)[0] == stream(5_000, 0.2, 7)[0]
    assert stream(5_000, 0.2, 7)[0] != stream(5_000, 0.2, 8)[0]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Duplicator(share)
