"""Which process is meant by a pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.local.process import (
    Launch,
    Running,
    alive,
    clean_environment,
    last_lines,
    spawn,
    start_mark,
    stop,
    wait_gone,
)

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Running]:
    running = spawn(Launch(SLEEP, tmp_path, clean_environment()), tmp_path / "log")
    yield running
    if alive(running):
        os.kill(running.pid, signal.SIGKILL)
    os.waitpid(running.pid, os.WNOHANG)


def test_a_process_is_known_by_its_start_and_not_by_its_pid_alone(sleeper: Running) -> None:
    assert alive(sleeper)
    assert not alive(replace(sleeper, started="another time"))
    assert not alive(None)


def test_a_zombie_counts_as_gone(sleeper: Running) -> None:
    # Nobody waits for it here, so its pid stays.
    os.kill(sleeper.pid, signal.SIGKILL)
    assert wait_gone(sleeper, 10)
    os.kill(sleeper.pid, 0)
    assert start_mark(sleeper.pid) is None


def test_a_part_has_a_session_of_its_own(sleeper: Running) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_who_does_not_go_when_asked_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    running = spawn(Launch([sys.executable, "-c", stubborn], tmp_path, clean_environment()), tmp_path / "log")
    while "deaf" not in (tmp_path / "log").read_text():
        assert alive(running)
    assert stop(running, signal.SIGTERM, 0.2) is False
    assert not alive(running)
    os.waitpid(running.pid, 0)


def test_a_recycled_pid_is_never_killed() -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as innocent:
        assert stop(Running(innocent.pid, "the start of another"), signal.SIGKILL, 1.0)
        assert innocent.poll() is None
        innocent.kill()


def test_the_end_of_a_log_is_shown_with_long_lines_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == ""
    log.write_text("\n".join(["first", *["x" * 1000] * 12]))
    assert last_lines(log).splitlines() == ["  | " + "x" * 300] * 12
