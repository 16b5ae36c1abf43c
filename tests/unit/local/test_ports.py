"""Ports are kept where that is possible, and moved aloud where it is not."""

import socket
from collections.abc import Iterator

import pytest

from penstock.local.errors import StackError
from penstock.local.ports import choose, free_port, is_free
from tests.unit.local.silent import Silent


class Remembering(Silent):
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def say(self, part: str, text: str) -> None:
        self.said.append((part, text))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_kept_port_that_is_free_stays() -> None:
    port = free_port(())
    assert choose(["kafka"], {"kafka": port}, {}, Silent()) == {"kafka": port}


def test_a_kept_port_that_is_taken_moves_with_a_word(taken: int) -> None:
    report = Remembering()
    chosen = choose(["kafka"], {"kafka": taken}, {}, report)
    assert chosen["kafka"] != taken
    assert is_free(chosen["kafka"])
    ((part, text),) = report.said
    assert part == "kafka"
    assert str(taken) in text
    assert str(chosen["kafka"]) in text


def test_an_asked_port_that_is_taken_is_refused_with_its_holder(taken: int) -> None:
    with pytest.raises(StackError, match=rf"port {taken}, asked for kafka, is taken by process \d+ \("):
        choose(["kafka"], {}, {"kafka": taken}, Silent())


def test_ports_of_one_stack_differ_and_lie_below_those_of_outgoing_connections() -> None:
    names = [f"part-{n}" for n in range(50)]
    chosen = choose(names, {}, {}, Silent())
    assert len(set(chosen.values())) == len(names)
    assert max(chosen.values()) < 32_768
