"""The ingest service put together: two doors, POST /events and events.inbox, to one topic, events.raw."""

import asyncio
import os
from typing import Any

from penstock.errors import PenstockError
from penstock.schema.codec import Decoder, encoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, stage
from penstock.stream.publisher import KafkaPublisher
from services.ingest.accept import RAW_TOPIC, Acceptor
from services.ingest.api import Api
from services.ingest.inbox import INBOX_TOPIC, Inbox
from services.ingest.server import Server
from services.ingest.settings import DEFAULT_PORT, IngestSettings
from services.ingest.token_bucket import TokenBucket


class Ingest:
    """Both doors, until told to stop; one that fails closes the other."""

    def __init__(self, inbox: Runnable, server: Server, failure: "asyncio.Future[None]") -> None:
        self._inbox = inbox
        self._server = server
        self._failure = failure

    @property
    def ready(self) -> bool:
        return self._inbox.ready

    async def run(self, stop: asyncio.Event) -> None:
        inbox_stop = asyncio.Event()
        inbox = asyncio.ensure_future(self._inbox.run(inbox_stop))
        stopped = asyncio.ensure_future(stop.wait())
        ends: set[asyncio.Future[Any]] = {inbox, stopped, self._failure}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            inbox_stop.set()
            await self._server.stop()
            await inbox
        if self._failure.done():
            self._failure.result()


async def build(settings: IngestSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    codec = await encoder(registry, "event", f"{RAW_TOPIC}-value")
    acceptor = Acceptor(settings.fingerprinter(), codec.encode, os.urandom)
    inbox = await stage(
        host, settings, registry, (INBOX_TOPIC,), Inbox(Decoder(registry, "event"), acceptor, host.clock)
    )
    publisher = KafkaPublisher(
        settings.bootstrap_servers, f"penstock.ingest.{host.slot}.http", timeout_s=settings.ack_timeout_s
    )
    host.closing.push_async_callback(publisher.close)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: PenstockError) -> None:
        if not failure.done():
            failure.set_exception(error)

    token = settings.token.get_secret_value() if settings.token is not None else None
    bucket = TokenBucket(settings.rate_per_s, settings.burst)
    api = Api(acceptor, publisher, bucket, token, host.clock, host.metrics, fail)
    server = Server(api.application(), settings.host, settings.port, DEFAULT_PORT)
    host.endpoints["api"] = await server.start()
    return Ingest(inbox, server, failure)
