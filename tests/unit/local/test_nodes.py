"""How many nodes a stack has is decided once, and their ports follow from it."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.local.errors import StackError
from penstock.local.nodes import settle_nodes, with_ports, without_majority
from penstock.local.ports import free_port
from penstock.local.process import Running, start_mark
from penstock.local.state import State, kafka_parts, new_state
from tests.unit.local.silent import Silent

NODES = kafka_parts(3)
ALIVE = Running(os.getpid(), start_mark(os.getpid()) or "")
DEAD = Running(os.getpid(), "an earlier process with this pid")


@pytest.fixture
def three(tmp_path: Path) -> State:
    state = new_state(tmp_path, nodes=3)
    return with_ports(state, [*NODES, "registry", "postgres"], {}, Silent())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as holder:
        yield holder


def listen(holder: socket.socket, port: int) -> None:
    holder.bind(("127.0.0.1", port))
    holder.listen()


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (1, 1), (3, 3)])
def test_a_new_stack_has_one_node_unless_three_are_asked_for(tmp_path: Path, asked: int | None, expected: int) -> None:
    assert settle_nodes(tmp_path, None, asked).nodes == expected


def test_a_stack_keeps_its_nodes(tmp_path: Path, three: State) -> None:
    assert settle_nodes(tmp_path, three, None) is settle_nodes(tmp_path, three, 3) is three


@pytest.mark.parametrize(("before", "asked"), [(1, 3), (3, 1)])
def test_another_number_of_nodes_is_refused_with_the_ways_out(tmp_path: Path, before: int, asked: int) -> None:
    with pytest.raises(StackError, match=rf"cluster of {before} node.*leave --nodes out.*--data.*down --volumes"):
        settle_nodes(tmp_path, new_state(tmp_path, before), asked)


def test_without_stack_json_the_folders_tell_how_many_there_were(tmp_path: Path) -> None:
    (tmp_path / "kafka-2").mkdir()
    assert settle_nodes(tmp_path, None, None).nodes == 3
    with pytest.raises(StackError, match="cluster of 3 nodes"):
        settle_nodes(tmp_path, None, 1)


def test_every_node_listens_for_clients_and_for_the_other_nodes(three: State) -> None:
    names = [*NODES, *(f"{node}-controller" for node in NODES), "registry", "postgres"]
    assert sorted(three.ports) == sorted(names)
    assert len(set(three.ports.values())) == len(names)


def test_the_port_asked_for_is_the_first_nodes_and_the_others_take_those_after_it(tmp_path: Path) -> None:
    port = free_three()
    state = with_ports(new_state(tmp_path, nodes=3), NODES, {"kafka": port}, Silent())
    assert [state.ports[node] for node in NODES] == [port, port + 1, port + 2]
    with pytest.raises(StackError, match="would need ports above 65535"):
        with_ports(new_state(tmp_path, nodes=3), NODES, {"kafka": 65534}, Silent())


def test_any_of_the_ports_asked_for_that_is_taken_is_named(tmp_path: Path, listener: socket.socket) -> None:
    port = free_three()
    listen(listener, port + 2)
    with pytest.raises(StackError, match=rf"port {port + 2}, asked for kafka-3, is taken by"):
        with_ports(new_state(tmp_path, nodes=3), NODES, {"kafka": port}, Silent())


def free_three() -> int:
    """The first of three free ports in a row."""
    taken: list[int] = []
    while True:
        port = free_port(taken)
        with socket.socket() as second, socket.socket() as third:
            try:
                second.bind(("127.0.0.1", port + 1))
                third.bind(("127.0.0.1", port + 2))
            except OSError:
                taken.append(port)
            else:
                return port


def test_a_node_that_is_up_is_not_moved(three: State) -> None:
    port = free_port(three.ports.values())
    with pytest.raises(StackError, match=rf"kafka-1 is already up, on port {three.ports['kafka-1']}"):
        with_ports(three, ["kafka-2"], {"kafka": port}, Silent())


def test_a_node_is_never_moved_away_from_where_its_running_fellows_look_for_it(
    three: State, listener: socket.socket
) -> None:
    port = three.ports["kafka-2-controller"]
    listen(listener, port)
    with pytest.raises(StackError, match=rf"port {port}, where the other nodes look for kafka-2, is taken by"):
        with_ports(three, ["kafka-2"], {}, Silent())
    moved = with_ports(three, NODES, {}, Silent())
    assert moved.ports["kafka-2-controller"] != port, "together they may all move"


@pytest.mark.parametrize(
    ("up", "expected"), [(NODES, []), (NODES[1:], []), (NODES[2:], ["kafka-3"]), ([], [])], ids=["3", "2", "1", "0"]
)
def test_a_node_alone_cannot_end_in_order(three: State, up: list[str], expected: list[str]) -> None:
    running = {node: ALIVE if node in up else DEAD for node in NODES}
    assert without_majority(replace(three, running=running)) == expected


def test_a_single_node_ends_in_order(tmp_path: Path) -> None:
    assert without_majority(replace(new_state(tmp_path), running={"kafka": ALIVE})) == []
