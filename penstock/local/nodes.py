"""How many Kafka nodes a stack is made of, and what follows from it for its ports."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from penstock.local.errors import StackError
from penstock.local.ports import choose, holder, is_free
from penstock.local.process import alive
from penstock.local.report import Report
from penstock.local.state import State, kafka_parts, new_state

COUNTS = (1, 3)
"""Two would be worse than one: neither goes on without the other."""


def settle_nodes(data: Path, known: State | None, asked: int | None) -> State:
    """The stack's state, a new one where there is none; `asked` nodes, else as many as it has.

    Raises:
        StackError: the data folder belongs to a cluster of another size.
    """
    before = known.nodes if known else _left_over(data)
    if asked is not None and before is not None and asked != before:
        raise StackError(
            f"{data} holds the data of a cluster of {_nodes(before)}, which cannot become one of {_nodes(asked)}:"
            " leave --nodes out to go on with it, name another folder with --data, or `penstock down --volumes` to"
            " remove its data and start anew"
        )
    return known or new_state(data, asked or before or 1)


def without_majority(state: State) -> list[str]:
    """Nodes that cannot end in order: one asks its controller for leave to go, and waits for it for minutes where most
    of its fellows are dead. Kafka's own system tests kill it, too; what was acknowledged is on other disks, or its own.
    """
    running = [node for node in kafka_parts(state.nodes) if alive(state.running.get(node))]
    return running if 2 * len(running) <= state.nodes else []


def _left_over(data: Path) -> int | None:
    """The size of the cluster whose data lie in a folder without stack.json; None where there are none."""
    return next((count for count in COUNTS if any((data / part).exists() for part in kafka_parts(count))), None)


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def port_names(part: str) -> list[str]:
    """What a part listens on; the first is where its clients go."""
    return [part, _controller_of(part)] if part.startswith("kafka") else [part]


def _controller_of(node: str) -> str:
    return f"{node}-controller"


def with_ports(state: State, missing: Collection[str], asked: Mapping[str, int], report: Report) -> State:
    """The state with a port for everything that the missing parts listen on.

    Args:
        asked: by name. The one for `kafka` is the first node's; the others get those right after it.

    Raises:
        StackError: a port that was asked for, or that cannot be another, is taken; or its part is up elsewhere.
    """
    _require_controller_ports(state, missing)
    asked = _spread(asked, state.nodes)
    names = [name for part in missing for name in port_names(part)]
    for name, port in asked.items():
        if name not in names and state.ports.get(name) != port:
            raise StackError(
                f"{name} is already up, on port {state.ports.get(name)}; `penstock down` first to move it to {port}"
            )
    return replace(state, ports=choose(names, state.ports, asked, report))


def _spread(asked: Mapping[str, int], nodes: int) -> dict[str, int]:
    spread = {name: port for name, port in asked.items() if name != "kafka"}
    if "kafka" in asked:
        first = asked["kafka"]
        if first + nodes - 1 > 65535:
            raise StackError(f"{nodes} nodes from port {first} on would need ports above 65535")
        spread |= {part: first + i for i, part in enumerate(kafka_parts(nodes))}
    return spread


def _require_controller_ports(state: State, missing: Collection[str]) -> None:
    """A node whose fellows run must come back where they look for it: they read the list of voters at their start."""
    nodes = kafka_parts(state.nodes)
    if all(node in missing for node in nodes):
        return
    for node in nodes:
        port = state.ports.get(_controller_of(node))
        if node in missing and port is not None and not is_free(port):
            raise StackError(
                f"port {port}, where the other nodes look for {node}, is taken by {holder(port)}: end that, or"
                " `penstock down` and `penstock up`, which moves the whole cluster to free ports"
            )
