"""`penstock consume TOPIC`: committed records, decoded, one line of JSON each."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import click
from confluent_kafka import Message

from penstock.cli.endpoints import resolve
from penstock.errors import DataError
from penstock.ledger.kafka_reader import KafkaReader
from penstock.schema.codec import Decoder
from penstock.schema.json_form import line_of
from penstock.schema.registry import Registry
from penstock.stream import headers
from penstock.stream.port import TIMESTAMP_MS

_CHUNK = 200
_LOOK_S = 0.2
_BINARY_HEADERS = frozenset({"uid"})


@click.command()
@click.argument("topic")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="At most so many records.")
@click.option(
    "-o",
    "origin",
    type=click.Choice(["start", "end"]),
    default="start",
    show_default=True,
    help="start: the oldest there are, up to what is there now. end: what comes from now on; waits for it.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs; it is lines of JSON anyway.")
@click.pass_context
def consume(ctx: click.Context, topic: str, count: int, origin: str, *, as_json: bool) -> None:
    """Show records of TOPIC, decoded by the schema that each was written with. What a terminal could obey is escaped;
    what cannot be decoded is shown as hex, with the reason.
    """
    del as_json  # there is no other form
    endpoints = resolve(ctx)

    async def run() -> None:
        reader = KafkaReader(endpoints.bootstrap_servers)
        async with Registry(endpoints.schema_registry_url) as registry:
            decoder = Decoder(registry, None)
            try:
                left = count
                async for records in _records(reader, topic, count, follow=origin == "end"):
                    await decoder.prepare([record.value() for record in records])
                    for record in records[:left]:
                        click.echo(line_of(_shown(record, decoder)))
                    left -= len(records)
                    if left <= 0:
                        return
            finally:
                await reader.close()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        if origin == "start":
            raise
        # Who waits for what comes has no other way to end it.
    except BrokenPipeError:
        # Whoever read this has seen enough; Python would complain once more when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _records(reader: KafkaReader, topic: str, count: int, *, follow: bool) -> AsyncIterator[Sequence[Message]]:
    """Chunks of committed records: those that are there, or with `follow` those that come."""
    partitions = (await reader.facts([topic]))[topic].partitions
    ends = await reader.ends(partitions)
    at = ends if follow else await reader.begins(partitions)
    while True:
        async for records in reader.read(at, ends, chunk=min(count, _CHUNK)):
            yield records
        if not follow:
            return
        at = ends
        await asyncio.sleep(_LOOK_S)
        ends = await reader.ends(partitions)


def _shown(record: Message, decoder: Decoder) -> dict[str, Any]:
    lost: dict[str, Any] = {}
    try:
        found = headers.of(record)  # type: ignore[arg-type]  # a fetched message has an offset
    except DataError as error:
        found, lost = [], {"headers_not_read": str(error)}
    shown: dict[str, Any] = {
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[TIMESTAMP_MS],
        "key": _text_or_hex(record.key()),
        "headers": [[name, value if name in _BINARY_HEADERS else _text_or_hex(value)] for name, value in found],
    } | lost
    value = record.value()
    try:
        return shown | {"value": decoder.decode(value)}
    except DataError as error:
        return shown | {"value": value, "not_decoded": str(error)}


def _text_or_hex(value: bytes | None) -> bytes | str | None:
    """Text where all of it prints; the rest is left as bytes, which are shown as hex."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    return text if text.isprintable() else value
