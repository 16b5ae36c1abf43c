"""A stack's life: up, killed, up, down; its data outlive all but `down --volumes`."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import pytest

from penstock.local.part import log_path
from penstock.local.postgres_home import find_home
from penstock.local.process import alive
from penstock.local.state import State
from tests.conftest import RunningStack
from tests.integration.stack_command import (
    good,
    penstock,
    processes_that_mention,
    read_committed,
    register,
    sql,
    state_of,
    subjects,
    write_in_transaction,
)

pytestmark = pytest.mark.integration

VALUES = [b"one", b"two", b"three"]


@pytest.mark.timeout(600)  # a dozen starts of Java, on a machine that may be busy
def test_data_survive_kill_9_of_every_part_and_down_leaves_nothing(data: Path) -> None:
    good(data, "up")
    first = state_of(data)
    assert data.joinpath("stack.json").stat().st_mode & 0o777 == 0o600

    assert "already up" in good(data, "up")
    assert state_of(data) == first

    write_in_transaction(first.bootstrap_servers, "kept", VALUES)
    register(first.schema_registry_url, "kept-value")
    sql(first.postgres_dsn, "CREATE TABLE kept AS SELECT 7 AS seven")
    assert read_committed(first.bootstrap_servers, "kept", 3) == VALUES

    # One part alone: the others are not touched.
    seen = [first]
    for part in first.running:
        os.kill(seen[-1].running[part].pid, signal.SIGKILL)
        done = penstock(data, "status", "--json")
        assert done.returncode == 1
        states = {one["part"]: one["state"] for one in json.loads(done.stdout)["parts"]}
        assert states == {name: "down" if name == part else "up" for name in first.running}
        good(data, "up")
        seen.append(state_of(data))
        assert seen[-1].running[part] != seen[-2].running[part]
        assert {**seen[-1].running, part: None} == {**seen[-2].running, part: None}
        assert_kept(seen[-1])

    # All at once.
    for running in seen[-1].running.values():
        os.kill(running.pid, signal.SIGKILL)
    good(data, "up")
    seen.append(state_of(data))
    assert (seen[-1].ports, seen[-1].fingerprint_key) == (first.ports, first.fingerprint_key)
    assert_kept(seen[-1])

    good(data, "down")
    assert not any(alive(one) for state in seen for one in state.running.values())
    assert processes_that_mention(data) == []
    assert penstock(data, "status").returncode == 1

    good(data, "up")
    assert read_committed(first.bootstrap_servers, "kept", 3) == VALUES
    assert sql(first.postgres_dsn, "SELECT seven FROM kept") == 7

    postgres = state_of(data).running["postgres"].pid
    assert psutil.Process(postgres).uids().effective != 0, "Postgres never runs as root"
    home = find_home(data).folder
    assert home.exists()
    good(data, "down", "--volumes")
    assert not data.exists()
    assert not home.exists()
    assert processes_that_mention(data) == []


def assert_kept(state: State) -> None:
    assert read_committed(state.bootstrap_servers, "kept", 3) == VALUES
    assert {"kept-value", "events.raw-value"} <= set(subjects(state.schema_registry_url))
    assert sql(state.postgres_dsn, "SELECT seven FROM kept") == 7


def test_two_stacks_do_not_know_each_other(stack: RunningStack, data: Path) -> None:
    good(data, "up")
    mine = state_of(data)
    write_in_transaction(stack.bootstrap_servers, "of-the-other", VALUES)
    write_in_transaction(mine.bootstrap_servers, "of-mine", VALUES[:1])
    register(stack.schema_registry_url, "of-the-other-value")
    assert read_committed(mine.bootstrap_servers, "of-mine", 1) == VALUES[:1]
    assert read_committed(stack.bootstrap_servers, "of-the-other", 3) == VALUES
    assert "of-the-other-value" not in subjects(mine.schema_registry_url)

    good(data, "down", "--volumes")
    assert all(alive(running) for running in state_of(stack.data).running.values())
    assert "of-the-other-value" in subjects(stack.schema_registry_url)


def test_two_commands_at_once_start_one_stack(data: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _n: penstock(data, "up"), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert sorted("already up" in done.stderr for done in (first, second)) == [False, True]
    for part in state_of(data).running:
        assert len(processes_of(data, part)) == 1


def processes_of(data: Path, part: str) -> list[str]:
    marks = {"kafka": "kafka.Kafka", "registry": "quarkus-run.jar", "postgres": "/cluster"}
    return [line for line in processes_that_mention(data) if marks[part] in line]


def test_logs_follow_what_is_written(stack: RunningStack) -> None:
    log = log_path(stack.data, "postgres")
    command = [sys.executable, "-m", "penstock.cli", "--data", str(stack.data), "logs", "-f", "-n", "0", "postgres"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            # It says nothing when it begins to follow, so this is written until it is seen.
            seen = ThreadPoolExecutor(1).submit(following.stdout.readline)
            while not seen.done():
                with log.open("a") as file:
                    file.write("a line for who follows\n")
                wait([seen], timeout=0.2)
            assert seen.result() == "a line for who follows\n"
        finally:
            following.kill()
