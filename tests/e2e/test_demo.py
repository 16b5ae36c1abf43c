"""`penstock demo` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SOURCES = ("github", "wikipedia", "exchange", "weather")
WITHIN_S = 400.0


class Demo:
    """One that runs in `data`."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.folder = data / "demo"
        self._log = data / "log"
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "penstock.cli", "--data", str(data), "demo", *arguments]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline_s, self.said
            time.sleep(0.1)

    def end(self) -> int:
        """Its exit code."""
        return self.process.wait(WITHIN_S)

    def pid_of(self, service: str) -> int:
        announced = self.folder / "run" / f"{service}.0.json"
        self.until(announced.exists)
        return int(json.loads(announced.read_text())["pid"])

    def replayed(self, source: str, kind: str) -> dict[str, Any]:
        path = self.folder / "run" / "replays" / f"{source}.{kind}"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sent": 0}
        return found


@contextmanager
def demo(data: Path, *arguments: str) -> Iterator[Demo]:
    """Whatever becomes of it, nothing of it is left at the end."""
    running = Demo(data, *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        if left_in(data):
            command = [sys.executable, "-m", "penstock.cli", "--data", str(running.folder), "down", "--volumes"]
            subprocess.run(command, check=False)
        for process in left_in(data):
            process.kill()


def left_in(folder: Path) -> list[psutil.Process]:
    """The processes that still work on it."""
    named = psutil.process_iter(["cmdline"])
    return [process for process in named if str(folder) in " ".join(process.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A demo that lost a service: its data folder, its exit code, and what it said."""
    data = tmp_path_factory.mktemp("demo")
    with demo(data) as running:
        os.kill(running.pid_of("dedup"), signal.SIGKILL)
        return data, running.end(), running.said


def test_a_demo_that_loses_a_service_says_so_and_promises_nothing(failed: tuple[Path, int, str]) -> None:
    _, code, said = failed
    assert code == 3, said
    assert "ending: dedup ended with exit code -9" in said
    assert "come through" not in said


def test_the_demo_drains_balances_and_leaves_nothing_behind_whatever_the_one_before_it_left(
    failed: tuple[Path, int, str],
) -> None:
    data, _, _ = failed
    with demo(data, "--until-drained") as running:
        assert running.end() == 0, running.said
        assert "balanced: nothing lost, nothing doubled of 28,215" in running.said
        for source in SOURCES:
            line = next(line for line in running.said.splitlines() if line.split()[:1] == [source])
            assert int(line.split()[2].replace(",", "")) > 0
            assert line.split()[-1] == "balanced"
        assert left_in(data) == []


def test_a_demo_that_is_ended_by_ctrl_c_lets_all_through_and_balances(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.until(lambda: "dashboard:" in running.said and " dedup 0 " not in running.said.splitlines()[-1])
        running.until(lambda: all(running.replayed(source, "progress.json")["sent"] for source in SOURCES))
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0, running.said
        assert "balanced: nothing lost, nothing doubled of" in running.said
        assert "nothing doubled of 0," not in running.said
        for source in SOURCES:
            assert running.replayed(source, "json")["complete"], "stopped as meant, so the ledger is held against it"


def test_a_demo_whose_service_hangs_is_ended_at_once_by_a_second_signal(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        os.kill(running.pid_of("dedup"), signal.SIGSTOP)
        running.until(lambda: "dashboard:" in running.said)
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda: "ending: no more events are sent" in running.said)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 1, running.said
        assert "dedup" in running.said.rpartition("ended at once: ")[2]
        assert left_in(tmp_path) == []
