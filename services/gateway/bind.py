"""The port the gateway gets: the one asked for or none; without a wish 8420, or the next that is free."""

import errno
import socket

from penstock.errors import SystemFaultError

_TRIES = 100


def bind(host: str, asked: int | None, default: int) -> socket.socket:
    """A bound socket; whether the default had to give way shows in its port.

    Raises:
        SystemFaultError: the asked-for port is taken, or `host` is no address of this machine.
    """
    ports = range(default, default + _TRIES) if asked is None else (asked,)
    for port in ports:
        try:
            return _bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SystemFaultError(
                    f"the gateway cannot listen at {host}:{port}: {error.strerror or error}"
                ) from error
    if asked is not None:
        raise SystemFaultError(
            f"port {asked}, asked for by PENSTOCK_GATEWAY_PORT, is taken; choose another or leave it out"
        )
    raise SystemFaultError(
        f"no port from {default} to {default + _TRIES - 1} is free; name one by PENSTOCK_GATEWAY_PORT"
    )


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
    except OSError:
        bound.close()
        raise
    return bound
