"""The gateway, wired: the only file that knows all its parts."""

import asyncio
import functools
from contextlib import suppress

import aiohttp
import structlog
from aiohttp import web

from penstock.schema.codec import Decoder
from penstock.schema.registry import Registry
from penstock.service import Host
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from services.gateway.api import Api
from services.gateway.bind import bind
from services.gateway.endpoints import read_endpoints
from services.gateway.gauges import Gauges
from services.gateway.hub import QueueLimit
from services.gateway.object_store import ObjectStoreProbe
from services.gateway.reader import STAGE, Reader, Scope
from services.gateway.server import Admission, application
from services.gateway.settings import DEFAULT_PORT, GatewaySettings, instance_of
from services.gateway.store import open_store
from services.gateway.watch import Probe, Watch
from services.gateway.websocket import Sockets

_INTAKE = "events.raw"
_SHUTDOWN_S = 3.0
_SHOW_EVERY_S = 1.0


class Gateway:
    """Reads, watches and serves until it is told to stop; if one of the three ends, all do."""

    def __init__(self, reader: Reader, watch: Watch, sockets: Sockets, site: web.SockSite, gauges: Gauges) -> None:
        self._gauges = gauges
        self._reader = reader
        self._watch = watch
        self._sockets = sockets
        self._site = site

    @property
    def ready(self) -> bool:
        return self._reader.hub is not None

    async def run(self, stop: asyncio.Event) -> None:
        await self._site.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch.run(stop))
                tasks.create_task(self._reader.run(stop))
                while not stop.is_set():
                    self._show()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_SHOW_EVERY_S):
                            await stop.wait()
        except ExceptionGroup as group:  # one of them cannot go on, and took the others along: its reason is the reason
            raise group.exceptions[0] from None
        finally:
            await self._sockets.close()

    def _show(self) -> None:
        if self._reader.hub is not None:
            self._gauges.show(self._reader.hub)


async def build(settings: GatewaySettings, host: Host) -> Gateway:
    registry = Registry(settings.schema_registry_url)
    host.closing.push_async_callback(registry.close)
    store = await open_store(settings.postgres_dsn)
    host.closing.callback(store.close)

    client = ClientSettings(settings.bootstrap_servers, "", (settings.topic,), f"penstock.{STAGE}.{host.slot}")
    reader = Reader(
        live=KafkaBroker(client),
        side=KafkaBroker(client),
        decoder=Decoder(registry, "scored_event"),
        scope=Scope(
            topic=settings.topic,
            intake=_INTAKE,
            at_hand=QueueLimit(settings.recent_events, settings.recent_bytes),
            queue=QueueLimit(settings.queue_events, settings.queue_bytes),
        ),
        meter=host.meter(STAGE),
        clock=host.clock,
    )
    host.closing.push_async_callback(reader.close)

    run = None if settings.data is None else settings.data / "run"
    listed = [instance_of(entry) for entry in sorted(settings.services)]
    parts: dict[str, Probe] = {
        "kafka": reader.probe,
        "registry": functools.partial(_answers, settings.schema_registry_url),
        "postgres": store.ping,
    }
    if settings.object_store_url is not None and "s3" in settings.sinks:
        parts["object-store"] = ObjectStoreProbe(settings.object_store_url, host.clock)
    watch = Watch(
        endpoints=functools.partial(read_endpoints, run, listed),
        expected=settings.expected,
        parts=parts,
        written=lambda: reader.written,
        clock=host.clock,
    )
    sockets = Sockets(reader, host.clock, settings.max_clients)
    api = Api(store, watch, reader, sockets, host.clock)
    runner = web.AppRunner(
        application(api, sockets, Admission(settings.allowed_hosts, settings.allowed_origins)),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    host.closing.push_async_callback(runner.cleanup)
    return Gateway(reader, watch, sockets, _listen(settings, host, runner), Gauges(host.metrics))


def _listen(settings: GatewaySettings, host: Host, runner: web.AppRunner) -> web.SockSite:
    bound = bind(settings.host, settings.port, DEFAULT_PORT)
    name, port = bound.getsockname()[:2]
    if settings.port is None and port != DEFAULT_PORT:
        structlog.get_logger(STAGE).warning("the default port is taken", default=DEFAULT_PORT, port=port)
    host.endpoints["api"] = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    return web.SockSite(runner, bound)


async def _answers(url: str) -> None:
    """Raises what is wrong with an HTTP server at `url`, if anything is."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/subjects") as response:
        response.raise_for_status()
