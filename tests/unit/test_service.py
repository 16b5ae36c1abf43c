"""The process a service runs in: how it starts, what it tells, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WITHIN_S = 60.0

PROGRAM = """
import asyncio
import gc
from contextlib import suppress
from penstock.errors import PermanentError, SystemFaultError, TransientError
from penstock.service import Host, run
from penstock.settings import Settings
from penstock.stream.port import TopicPartition
from penstock.stream.restore import Progress

class Own(Settings, env_prefix="PENSTOCK_OWN_"):
    does: str = "stop"

class Service:
    def __init__(self, settings, host):
        self.settings, self.meter, self.ready = settings, host.meter("own"), False
        self.postgres = host.dependency("postgres")

    async def run(self, stop):
        self.ready = True
        match self.settings.does:
            case "wait for postgres":
                for _ in range(3):
                    with suppress(TransientError):
                        async with self.postgres.attempt():
                            raise TransientError("connection refused")
            case "wait for partitions":
                self.ready = False
            case "restore":
                self.ready = False
                self.meter.restores({TopicPartition("in", 2): Progress(1200, 34)})
            case "hang":
                await asyncio.Event().wait()
            case "drain for ever":
                while True:
                    self.meter.progress()
                    await asyncio.sleep(0.05)
            case "permanent":
                raise PermanentError("it can't be")
            case "count":
                raise PermanentError(f"{gc.get_freeze_count()} objects are out of the collector's sight")
            case "system":
                raise SystemFaultError("the disk is full")
        while not stop.is_set():
            self.meter.progress()
            await asyncio.sleep(0.05)

async def build(settings, host: Host):
    return Service(settings, host)

run("own", Own, build)
"""


class Process:
    def __init__(self, folder: Path, does: str, **variables: str) -> None:
        self.endpoints = folder / "run" / "own.0.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        own = {
            "PENSTOCK_DATA": str(folder),
            "PENSTOCK_OWN_DOES": does,
            "PENSTOCK_BOOTSTRAP_SERVERS": "none:1",
            "PENSTOCK_SCHEMA_REGISTRY_URL": "http://none",
        }
        self.log = folder / "log"
        self.said = ""
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", PROGRAM]
            self.popen = subprocess.Popen(command, env={**kept, **own, **variables}, stderr=log, stdout=log)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.02)

    def ask(self, page: str) -> int:
        url = json.loads(self.endpoints.read_text())["http"]
        try:
            with urllib.request.urlopen(f"{url}/{page}", timeout=5) as answer:  # noqa: S310  our own
                self.said = answer.read().decode()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self.said = error.read().decode()
            return error.code

    def ended(self) -> int:
        return self.popen.wait(WITHIN_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def make(does: str, **variables: str) -> Process:
        started.append(Process(tmp_path, does, **variables))
        return started[-1]

    yield make
    for process in started:
        process.popen.kill()
        process.popen.wait()


def test_it_announces_itself_and_leaves_nothing_behind(start: Callable[..., Process]) -> None:
    process = start("stop")
    process.until(process.endpoints.exists)
    told = json.loads(process.endpoints.read_text())
    assert (told["service"], told["slot"], told["pid"]) == ("own", 0, process.popen.pid)
    process.until(lambda: process.ask("readyz") == 200)
    assert process.ask("livez") == 200
    assert process.ask("metrics") == 200
    process.popen.send_signal(signal.SIGTERM)
    assert process.ended() == 0
    assert not process.endpoints.exists()


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("wait for partitions", "no partitions yet, or about to begin with them"),
        ("restore", "restoring in[2], 1,200 changelog records read, 34 offsets to go"),
    ],
)
def test_readyz_says_no_until_the_service_is_ready_and_why(start: Callable[..., Process], does: str, why: str) -> None:
    process = start(does)
    process.until(process.endpoints.exists)
    process.until(lambda: process.ask("readyz") == 503 and "starting" not in process.said)
    assert process.said == f"not ready: {why}\n"
    assert process.ask("livez") == 200


def test_readyz_names_what_it_waits_for_and_the_metrics_say_so(start: Callable[..., Process]) -> None:
    process = start("wait for postgres")
    process.until(process.endpoints.exists)
    process.until(lambda: process.ask("readyz") == 503 and "postgres" in process.said)
    assert process.said == "not ready: postgres is away: connection refused\n"
    assert process.ask("livez") == 200
    process.ask("metrics")
    # Open, or half-open by now: nobody tries here.
    assert re.search(r'penstock_circuit{dependency="postgres",stage="own"} [12]\.0', process.said)


def test_a_second_signal_ends_it_at_once(start: Callable[..., Process]) -> None:
    process = start("drain for ever")
    process.until(process.endpoints.exists)
    process.popen.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two signals of a kind that are pending together are one
    process.popen.send_signal(signal.SIGINT)
    assert process.ended() == 128 + signal.SIGINT


def test_livez_tells_of_a_hang_and_then_the_watchdog_ends_it(start: Callable[..., Process]) -> None:
    process = start("hang", PENSTOCK_HANG_S="6")
    process.until(process.endpoints.exists)
    process.until(lambda: process.ask("livez") == 503)
    assert process.ended() == 70
    told = process.log.read_text()
    assert "hung" in told
    assert "most recent call first" in told, "where every thread stood"


@pytest.mark.parametrize(("does", "code"), [("permanent", 1), ("system", 3)])
def test_what_cannot_go_on_says_why_and_ends_by_its_category(
    start: Callable[..., Process], does: str, code: int
) -> None:
    process = start(does)
    assert process.ended() == code
    log = process.log.read_text()
    assert "cannot go on" in log
    assert "Traceback" not in log


def test_the_collector_never_searches_what_was_loaded_before_it_ran(start: Callable[..., Process]) -> None:
    process = start("count")
    assert process.ended() == 1
    told = re.search(r"(\d+) objects are out of the collector's sight", process.log.read_text())
    assert told is not None
    assert int(told[1]) > 10_000


def test_wrong_settings_are_named(start: Callable[..., Process]) -> None:
    process = start("stop", PENSTOCK_HANG_S="soon")
    assert process.ended() == 2
    assert "PENSTOCK_HANG_S=soon" in process.log.read_text()
