"""What the stack says when the machine does not let it work: a sentence, a way out, exit code 3."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.integration.stack_command import good, penstock, state_of

pytestmark = pytest.mark.integration


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path, taken_port: int) -> None:
    done = penstock(tmp_path / "data", "up", "--kafka-port", str(taken_port))
    assert done.returncode == 3
    assert f"port {taken_port}, asked for kafka, is taken by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_is_up_is_not_moved_to_another_port(stack: RunningStack) -> None:
    done = penstock(stack.data, "up", "--postgres-port", "20001")
    assert done.returncode == 3
    assert "postgres is already up, on port" in done.stderr
    assert "penstock down" in done.stderr


def test_two_nodes_are_no_choice(tmp_path: Path) -> None:
    done = penstock(tmp_path / "data", "up", "--nodes", "2")
    assert done.returncode == 2
    assert "'2' is not one of '1', '3'" in done.stderr


def test_a_stack_of_one_node_does_not_become_one_of_three(stack: RunningStack) -> None:
    done = penstock(stack.data, "up", "--nodes", "3")
    assert done.returncode == 3
    assert f"{stack.data} holds the data of a cluster of 1 node" in done.stderr
    assert "`penstock down --volumes`" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_download_says_what_and_what_to_do(tmp_path: Path, taken_port: int) -> None:
    done = penstock(
        tmp_path / "data",
        "up",
        PENSTOCK_CACHE=str(tmp_path / "cache"),
        PENSTOCK_MAVEN_MIRROR=f"http://127.0.0.1:{taken_port + 1 if taken_port < 65535 else 1}",
    )
    assert done.returncode == 3
    assert "cannot download" in done.stderr
    assert "HTTPS_PROXY" in done.stderr
    assert "Traceback" not in done.stderr
    # What this command had started before it failed is stopped again.
    assert state_of(tmp_path / "data").running == {}
    good(tmp_path / "data", "down", "--volumes")


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = penstock(tmp_path / "file" / "data", "up")
    assert done.returncode == 3
    assert str(tmp_path / "file" / "data") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("word", ["env", "logs"])
def test_without_a_stack_the_way_to_one_is_told(tmp_path: Path, word: str) -> None:
    done = penstock(tmp_path / "data", word)
    assert done.returncode == 3
    assert "`penstock up` starts one" in done.stderr


def test_env_is_read_by_a_shell_and_logs_are_by_part(stack: RunningStack) -> None:
    assert f"export PENSTOCK_BOOTSTRAP_SERVERS={stack.bootstrap_servers}\n" in good(stack.data, "env")
    assert f"export PENSTOCK_FINGERPRINT_KEY={stack.fingerprint_key}\n" in good(stack.data, "env")
    assert "database system is ready" in good(stack.data, "logs", "postgres", "-n", "500")
    assert penstock(stack.data, "logs", "redis").returncode == 2
