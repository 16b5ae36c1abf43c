"""What an orchestrator and an operator ask a process: /livez, /readyz, /metrics."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from penstock.metrics import Metrics

FIRST_PORT = 8430
_LAST_PORT = 8629


class Health:
    """An HTTP server on 127.0.0.1, or on every address where a container's probe has to reach it.

    Args:
        live: None, or why the process should be replaced.
        ready: None, or why it does not do its work now.
    """

    def __init__(self, metrics: Metrics, live: Callable[[], str | None], ready: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._live = live
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int | None) -> str:
        """Returns the base URL; `port` None takes the first free one from 8430 on."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics_page),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for candidate in range(FIRST_PORT, _LAST_PORT + 1) if port is None else (port,):
            try:
                await web.TCPSite(self._runner, host, candidate).start()
            except OSError:
                if candidate in (port, _LAST_PORT):
                    raise
                continue
            return f"http://{host}:{candidate}"
        raise AssertionError("unreachable: the last port either serves or raises")

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        why = self._live()
        return web.Response(text=why or "live\n", status=503 if why else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        why_not = self._ready()
        if why_not is None:
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready: {why_not}\n", status=503)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
