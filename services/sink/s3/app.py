"""sink-s3 put together."""

import secrets

from penstock.lake.store import open_store
from penstock.schema.codec import Decoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, sink_stage
from services.sink.intake import Intake, inputs
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer
from services.sink.settings import S3Settings

STAGE = "sink-s3"


async def build(settings: S3Settings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    store = open_store(settings.object_store_url)
    writer = Writer(store, secrets.token_hex(8), host.clock, uploads=settings.uploads)
    intake = Intake(Decoder(registry, "scored_event"))
    attempting = host.dependency("object-store").attempt
    sink = S3Sink(
        intake, store, writer, settings.policy, host.clock, timeout_s=settings.timeout_s, attempting=attempting
    )
    return await sink_stage(host, settings, registry, STAGE, inputs(STAGE), sink)
