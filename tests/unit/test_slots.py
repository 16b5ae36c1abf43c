"""Each process of a service has a number of its own."""

from pathlib import Path

import pytest

from penstock.errors import SystemFaultError
from penstock.slots import Slot


def test_the_first_free_slot_is_taken(tmp_path: Path) -> None:
    first, second = Slot("dedup", None, tmp_path), Slot("dedup", None, tmp_path)
    assert (first.number, second.number) == (0, 1)
    first.release()
    third = Slot("dedup", None, tmp_path)
    assert third.number == 0
    second.release()
    third.release()


def test_a_slot_that_is_held_is_refused_by_name(tmp_path: Path) -> None:
    held = Slot("dedup", 3, tmp_path)
    with pytest.raises(SystemFaultError, match="slot 3 of dedup"):
        Slot("dedup", 3, tmp_path)
    held.release()
