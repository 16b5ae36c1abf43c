"""Where POST /events is served."""

import socket

import structlog
from aiohttp import web

from penstock.errors import SystemFaultError

log = structlog.get_logger(__name__)

_TRIES = 100
SHUTDOWN_S = 10.0
"""How long requests under way are waited for when the service stops."""


class Server:
    """
    Args:
        port: must be free; None takes `default_port`, or the next free one after it, and says so.
    """

    def __init__(self, application: web.Application, host: str, port: int | None, default_port: int) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._host = host
        self._port = port
        self._default_port = default_port

    async def start(self) -> str:
        """Returns the base URL.

        Raises:
            SystemFaultError: the port that was asked for is taken, or the host is not ours.
        """
        bound = self._bind()
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()
        host, port = bound.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Takes no more connections, and ends when the requests under way are answered."""
        await self._runner.cleanup()

    def _bind(self) -> socket.socket:
        wanted = self._default_port if self._port is None else self._port
        for port in range(wanted, wanted + (_TRIES if self._port is None else 1)):
            try:
                bound = socket.create_server((self._host, port), family=_family(self._host), backlog=512)
            except OSError as error:
                refused = error
                continue
            if port != wanted:
                log.warning("the default port is taken", port=wanted, instead=port)
            return bound
        raise SystemFaultError(
            f"POST /events cannot be served on {self._host}:{wanted}: {refused.strerror};"
            " set PENSTOCK_INGEST_PORT to a free one, or leave it out"
        )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
