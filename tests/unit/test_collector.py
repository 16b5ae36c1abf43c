"""The settled collector: a batch goes without it, a cycle does not stay for ever."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from penstock import collector


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    before = gc.get_threshold()
    collector.settle()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class _Node:
    def __init__(self) -> None:
        self.itself = self


def test_batches_of_records_with_headers_are_made_and_dropped_without_a_collection() -> None:
    started = sum(generation["collections"] for generation in gc.get_stats())
    for _ in range(3):
        batch = [[(name, number) for name in "abcde"] for number in range(5_000)]
        del batch
    assert sum(generation["collections"] for generation in gc.get_stats()) == started


def test_a_cycle_that_nobody_holds_goes_in_the_end() -> None:
    gone = weakref.ref(_Node())
    kept = [[number] for number in range(2 * collector.EVERY_OBJECTS)]
    assert gone() is None
    assert kept
