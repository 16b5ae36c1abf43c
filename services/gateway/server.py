"""The web server: routes, who may come in, and what browsers are told to refuse."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from penstock.errors import PenstockError
from services.gateway.api import Api, error_response
from services.gateway.websocket import Sockets

PAGE = Path(__file__).parent / "page"
OPENAPI = Path(__file__).parent / "openapi.json"
_MAX_BODY_BYTES = 64 * 1024
"""Nothing here takes a body; this only bounds who sends one anyway."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

_HEADERS = {
    # Whatever an event's text holds, the page runs and loads nothing but its own files.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may come in.

    A page of another site may not use a visitor's browser to read what is here: a request that names an `Origin` is
    taken from our own page or from `origins` alone. And since any site can point its own name at 127.0.0.1 (DNS
    rebinding), the name in `Host` has to be ours: a local one, or one of `hosts`.
    """

    hosts: frozenset[str] = frozenset()
    """`*` takes every name: for a gateway behind a proxy that checks."""
    origins: frozenset[str] = frozenset()

    def refusal(self, host: str, origin: str | None) -> str | None:
        """Why a request does not come in; None if it does."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return "the Host header is none"
        if "*" not in self.hosts and name not in _LOCAL and name not in self.hosts:
            return (
                f"this gateway is not called {name or 'that'}; PENSTOCK_GATEWAY_ALLOWED_HOSTS names what it is called"
            )
        if origin is None or origin in self.origins or _netloc(origin) == host.lower():
            return None
        return f"pages of {origin} are not let in; PENSTOCK_GATEWAY_ALLOWED_ORIGINS names those that are"


def application(api: Api, sockets: Sockets, admission: Admission) -> web.Application:
    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        refusal = admission.refusal(request.headers.get("Host", ""), request.headers.get("Origin"))
        if refusal is not None:
            raise web.HTTPForbidden(text=refusal)
        try:
            return await handler(request)
        except PenstockError as error:
            return error_response(error)

    app = web.Application(middlewares=[guard], client_max_size=_MAX_BODY_BYTES)
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/ws", sockets.handle)
    app.router.add_get("/api/events", api.events)
    app.router.add_get("/api/stats", api.stats)
    app.router.add_get("/api/health", api.health)
    app.router.add_get("/openapi.json", _file(OPENAPI))
    app.router.add_get("/", _file(PAGE / "index.html"))
    app.router.add_static("/page/", PAGE)
    return app


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    # Asked for again each time, answered by 304 while unchanged: an upgrade is seen at the next reload.
    response.headers.setdefault("Cache-Control", "no-cache")


def _file(path: Path) -> _Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return handler


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
