"""Finding the end of a chain."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.lake import chain
from penstock.lake.chain import last_start


class Listing:
    """Answers as a store does: in order, or, as a directory does, in none."""

    def __init__(self, starts: Sequence[int], *, ordered: bool = True) -> None:
        self._starts = sorted(starts)
        self._ordered = ordered
        self.requests = 0

    async def __call__(self, start: int) -> Sequence[int]:
        self.requests += 1
        after = [one for one in self._starts if one > start]
        if not self._ordered:
            after.sort(key=lambda one: one * 7919 % 1009)
        return after[: chain.PAGE]


async def test_an_empty_chain_has_no_last_start() -> None:
    assert await last_start(Listing([])) is None


async def test_a_short_chain_takes_one_request() -> None:
    listing = Listing([0, 5, 9])
    assert await last_start(listing) == 9
    assert listing.requests == 1


@given(st.lists(st.integers(0, 200_000), unique=True), st.booleans())
async def test_the_last_start_is_found_however_far_apart_they_are(starts: list[int], ordered: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "PAGE", 5)
        assert await last_start(Listing(starts, ordered=ordered)) == max(starts, default=None)


async def test_a_chain_of_a_year_takes_tens_of_requests() -> None:
    for step in (1, 500, 100_000):
        listing = Listing(range(0, 500_000 * step, step))
        assert await last_start(listing) == 499_999 * step
        assert listing.requests < 60
