"""Both sinks put together."""

import secrets

from penstock.lake.store import open_store
from penstock.schema.codec import Decoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, sink_stage
from services.sink.intake import Intake
from services.sink.postgres.database import Database
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import Store
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer
from services.sink.settings import PostgresSettings, S3Settings

POSTGRES = "sink-postgres"
S3 = "sink-s3"


def inputs(stage: str) -> tuple[str, ...]:
    return ("events.scored", f"retry.{stage}")


async def build_postgres(settings: PostgresSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    attempting = host.dependency("postgres").attempt
    database = Database(settings.postgres_dsn, statement_timeout_s=settings.timeout_s, attempting=attempting)
    store = Store(database, flush_timeout_s=settings.timeout_s)
    sink = PostgresSink(Intake(Decoder(registry, "scored_event")), store, settings.policy, host.clock)
    return await sink_stage(host, settings, registry, POSTGRES, inputs(POSTGRES), sink)


async def build_s3(settings: S3Settings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    store = open_store(settings.object_store_url)
    writer = Writer(store, secrets.token_hex(8), host.clock, uploads=settings.uploads)
    intake = Intake(Decoder(registry, "scored_event"))
    attempting = host.dependency("object-store").attempt
    sink = S3Sink(
        intake, store, writer, settings.policy, host.clock, timeout_s=settings.timeout_s, attempting=attempting
    )
    return await sink_stage(host, settings, registry, S3, inputs(S3), sink)
