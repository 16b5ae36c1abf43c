"""`penstock run` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.pipeline import Pipeline, pipeline

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WITHIN_S = 300.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline(tmp_path_factory.mktemp("run")) as made:
        yield made


@pytest.fixture
def running(system: Pipeline) -> Iterator["Run"]:
    run = Run(system, "dedup", "enrich")
    yield run
    if run.process.poll() is None:
        run.process.kill()
        run.process.wait()
    for pid in run.pids.values():
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


class Run:
    """A `penstock run` of two services, once both are ready."""

    def __init__(self, system: Pipeline, *services: str) -> None:
        self.system = system
        self.log = system.folder / "run.log"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "penstock.cli", "--data", str(system.data), "run", *services]
            environment = {**os.environ, **system.environment}
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.pids: dict[str, int] = {}
        until(lambda: self._ready(len(services)), self.log)

    def _ready(self, wanted: int) -> bool:
        done = self.system.penstock("services", "--json")
        rows = json.loads(done.stdout)["services"]
        self.pids = {row["service"]: row["pid"] for row in rows if row["state"] == "ready"}
        return len(self.pids) == wanted


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.1)


def gone(pids: dict[str, int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids.values())


def test_when_one_dies_the_rest_are_stopped_and_the_command_fails(running: Run) -> None:
    os.kill(running.pids["dedup"], signal.SIGKILL)
    assert running.process.wait(WITHIN_S) == 1
    assert "dedup was killed by SIGKILL" in running.log.read_text()
    assert gone(running.pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_is_no_failure(running: Run, number: signal.Signals) -> None:
    running.process.send_signal(number)
    assert running.process.wait(WITHIN_S) == 0, running.log.read_text()
    assert running.log.read_text().count('"event": "stopped"') == 2
    assert gone(running.pids)


def test_a_second_signal_kills_what_hangs_and_is_a_failure(running: Run) -> None:
    os.kill(running.pids["enrich"], signal.SIGSTOP)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: not psutil.pid_exists(running.pids["dedup"]), running.log)
    running.process.send_signal(signal.SIGHUP)  # as a terminal that ends does
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(WITHIN_S) == 1
    assert "killed before they had drained: enrich" in running.log.read_text()
    assert gone(running.pids)


def test_lines_are_prefixed_with_the_service(running: Run) -> None:
    lines = [line for line in running.log.read_text().splitlines() if '"event": "started"' in line]
    assert sorted(line.split()[0] for line in lines) == ["dedup", "enrich"]


def test_an_unknown_service_is_a_usage_error(system: Pipeline) -> None:
    done = system.penstock("run", "dedupe")
    assert done.returncode == 2
    assert "sink-postgres" in done.stderr, "it says what there is"
