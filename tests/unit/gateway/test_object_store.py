"""The object store is looked at rarely, and what was wrong is told until the next look."""

from pathlib import Path

import pytest

from penstock.errors import SystemFaultError
from services.gateway.object_store import ASK_EVERY_S, ObjectStoreProbe


class HandClock:
    def __init__(self) -> None:
        self.s = 100.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s


async def test_a_folder_answers_while_it_is_there_and_is_not_made(tmp_path: Path) -> None:
    folder, clock = tmp_path / "lake", HandClock()
    probe = ObjectStoreProbe(folder.as_uri(), clock)
    with pytest.raises(SystemFaultError, match="no folder"):
        await probe()
    assert not folder.exists()
    folder.mkdir()
    clock.s += ASK_EVERY_S
    await probe()


async def test_between_two_looks_the_last_answer_holds(tmp_path: Path) -> None:
    folder, clock = tmp_path / "lake", HandClock()
    folder.mkdir()
    probe = ObjectStoreProbe(folder.as_uri(), clock)
    await probe()
    folder.rmdir()
    clock.s += ASK_EVERY_S - 0.1
    await probe()
    clock.s += 0.1
    with pytest.raises(SystemFaultError):
        await probe()
    folder.mkdir()
    clock.s += ASK_EVERY_S - 0.1
    with pytest.raises(SystemFaultError):
        await probe()


async def test_a_url_that_names_no_store_is_told() -> None:
    with pytest.raises(SystemFaultError, match="names no object store"):
        await ObjectStoreProbe("lake", HandClock())()
