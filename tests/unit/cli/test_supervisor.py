"""Children of a command: heard, stopped, killed, and never left behind."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.signals import interrupting, is_insistent, stop_signals
from penstock.cli.supervisor import Supervisor

STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
signal.pause()
"""


class Heard:
    """What the processes printed."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.first = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.first.set()


async def stubborn(folder: Path, heard: Heard) -> Supervisor:
    """With one process that heeds no SIGTERM."""
    (folder / "stubborn.py").write_text(STUBBORN)
    supervisor = Supervisor({"PYTHONPATH": str(folder)}, heard)
    await supervisor.start("stubborn", ["stubborn"])
    await heard.first.wait()
    return supervisor


async def test_what_does_not_stop_in_time_is_killed_and_remembered(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = await stubborn(tmp_path, heard)
    await supervisor.stop(timeout_s=0.0)
    assert supervisor.killed == ["stubborn"]
    assert heard.lines == [("stubborn", "deaf"), ("stubborn", "did not stop within 0 s, killed")]
    assert supervisor.running == []


async def test_what_is_killed_while_it_is_asked_to_stop_is_remembered_too(tmp_path: Path) -> None:
    supervisor = await stubborn(tmp_path, Heard())
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.kill()
    await stopping
    assert supervisor.killed == ["stubborn"]


async def test_one_that_ends_by_itself_was_not_killed() -> None:
    supervisor = Supervisor({}, Heard())
    await supervisor.start("zen", ["this"])
    assert await supervisor.wait("zen") == 0
    supervisor.kill()
    await supervisor.stop()
    assert supervisor.killed == []


async def test_lines_that_nobody_can_take_any_more_stop_nothing() -> None:
    def broken(_name: str, _line: str) -> None:
        raise BrokenPipeError

    supervisor = Supervisor({}, broken)
    await supervisor.start("zen", ["this"])
    assert await supervisor.wait("zen") == 0
    await supervisor.stop()


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_a_terminal_that_ends_stops_a_command_unless_it_was_started_to_outlive_it() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert stop_signals() == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    assert stop_signals() == [signal.SIGINT, signal.SIGTERM]


def test_the_second_hangup_of_an_ending_terminal_does_not_insist() -> None:
    assert [is_insistent(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == [True, True, False]


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_before_and_after_the_loop_a_signal_interrupts_so_that_what_was_started_goes(number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupting():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before
