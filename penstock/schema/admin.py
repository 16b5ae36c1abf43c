"""Everything a cluster and a registry need before a service can start: topics, schemas and first offsets."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.errors import PermanentError, SystemFaultError
from penstock.schema import files
from penstock.schema.catalogue import Catalogue, load_catalogue
from penstock.schema.registry import Registry
from penstock.schema.topics import TopicReport, Topics

_PATIENCE_S = 60.0
"""Several brokers that have only just started move the coordinators of the groups among them for a while."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The newest version of a record's schema, as registered under one subject."""

    subject: str
    record: str
    version: int
    """Of the file, avro/<record>.v<version>.avsc."""
    schema_id: int


@dataclass(frozen=True, slots=True)
class Report:
    topics: TopicReport
    schemas: tuple[Registered, ...]

    @property
    def problems(self) -> list[str]:
        """What a person has to look at; the rest was done."""
        return self.topics.problems

    def lines(self) -> list[str]:
        registered = f"{len(self.schemas)} subjects hold their schemas"
        return [*self.topics.lines(), f"{self.topics.topics} topics are there", registered]


def partitions_asked(environ: Mapping[str, str]) -> int | None:
    """PENSTOCK_PARTITIONS: how many partitions new keyed topics get, instead of what the catalogue says.

    Raises:
        PermanentError: it is not a number from 1 to 1000.
    """
    stated = environ.get("PENSTOCK_PARTITIONS")
    if not stated:
        return None
    if not (stated.isascii() and stated.isdigit() and 0 < int(stated) <= 1000):
        raise PermanentError(f"PENSTOCK_PARTITIONS must be a number from 1 to 1000, not {stated!r}")
    return int(stated)


async def apply_all(
    bootstrap_servers: str,
    schema_registry_url: str,
    *,
    partitions: int | None = None,
    catalogue: Catalogue | None = None,
) -> Report:
    """Makes the catalogue true; harmless when it is true already.

    Args:
        partitions: for keyed topics that are created, instead of the catalogue's number.

    Raises:
        TransientError: Kafka or the registry does not answer.
        PermanentError: one of them refuses; the message says what.
        SystemFaultError: the registry cannot be used.
    """
    chosen = catalogue or load_catalogue()
    async with Registry(schema_registry_url, patience_s=_PATIENCE_S) as registry:
        topics, schemas = await asyncio.gather(
            Topics(bootstrap_servers, patience_s=_PATIENCE_S).apply(chosen, partitions=partitions),
            register_all(registry, chosen),
            return_exceptions=True,
        )
    if isinstance(topics, BaseException):
        raise topics
    if isinstance(schemas, BaseException):
        raise schemas
    return Report(topics, tuple(schemas))


async def register_all(registry: Registry, catalogue: Catalogue) -> Sequence[Registered]:
    """Registers every version of every record, oldest first, under each subject of the catalogue.

    Raises:
        SystemFaultError: the registry gives one schema several ids, so that forwarded bytes could not be read.
    """
    registered = []
    for subject, record in catalogue.subjects().items():
        await registry.require_compatibility(subject)
        history = files.versions(record)
        schema_id = 0
        for schema in history:
            schema_id = await registry.register(subject, schema)
        registered.append(Registered(subject, record, len(history), schema_id))
    for record in {made.record for made in registered}:
        ids = {made.subject: made.schema_id for made in registered if made.record == record}
        if len(set(ids.values())) > 1:
            raise SystemFaultError(
                f"the registry gives the schema of {record} a different id under each subject ({ids}):"
                " records could not be passed on as they came. Use one whose ids go by content"
            )
    return registered
