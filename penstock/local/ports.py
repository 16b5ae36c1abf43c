"""Which ports a stack's parts get."""

import random
import socket
from collections.abc import Collection, Mapping

import psutil

from penstock.local.errors import StackError
from penstock.local.report import Report

# Below the ports that Linux (32768-60999) and others (49152-65535) give to outgoing connections. Inside them, a
# client that knocks at the port of a stopped broker can be given that very port by the kernel, talks to
# itself (a TCP self-connect), and keeps the broker from coming back.
_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do; without it a port stays taken for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: Collection[int]) -> int:
    """A port nobody uses now and `taken` does not name."""
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop}")


def holder(port: int) -> str:
    """Who listens on the port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.Error, OSError):
        pass
    return "another process"


def choose(names: Collection[str], kept: Mapping[str, int], asked: Mapping[str, int], report: Report) -> dict[str, int]:
    """A port for each name: the one asked for, else the one it had, else any free one.

    Raises:
        StackError: a port that was asked for is taken.
    """
    chosen = dict(kept)
    for name in names:
        if name in asked:
            if not is_free(asked[name]):
                raise StackError(f"port {asked[name]}, asked for {name}, is taken by {holder(asked[name])}")
            chosen[name] = asked[name]
        elif name not in kept:
            chosen[name] = free_port([*chosen.values(), *asked.values()])
        elif not is_free(kept[name]):
            chosen[name] = free_port([*chosen.values(), *asked.values()])
            report.say(name, f"port {kept[name]} is now taken by {holder(kept[name])}; moved to port {chosen[name]}")
    return chosen
