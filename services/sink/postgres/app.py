"""sink-postgres put together."""

from penstock.schema.codec import Decoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, sink_stage
from services.sink.intake import Intake, inputs
from services.sink.postgres.database import Database
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import Store
from services.sink.settings import PostgresSettings

STAGE = "sink-postgres"


async def build(settings: PostgresSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    attempting = host.dependency("postgres").attempt
    database = Database(settings.postgres_dsn, statement_timeout_s=settings.timeout_s, attempting=attempting)
    store = Store(database, flush_timeout_s=settings.timeout_s)
    sink = PostgresSink(Intake(Decoder(registry, "scored_event")), store, settings.policy, host.clock)
    return await sink_stage(host, settings, registry, STAGE, inputs(STAGE), sink)
