"""What the commands around dead letters read, each in one call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.cli.endpoints import Endpoints
from penstock.ledger import audit
from penstock.ledger.decoding import Decoders
from penstock.ledger.kafka_reader import KafkaReader
from penstock.schema.codec import Decoder
from penstock.schema.registry import Registry


def decoders(registry: Registry) -> Decoders:
    return Decoders(Decoder(registry, "dead_letter"), Decoder(registry, audit.RECORD))


@asynccontextmanager
async def reading(endpoints: Endpoints) -> AsyncIterator[tuple[KafkaReader, Registry]]:
    """A reader of topics and a registry, closed at the end."""
    reader = KafkaReader(endpoints.bootstrap_servers)
    try:
        async with Registry(endpoints.schema_registry_url) as registry:
            yield reader, registry
    finally:
        await reader.close()
