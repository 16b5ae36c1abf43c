"""`penstock publish [FILE]`: a producer's NDJSON into events.inbox, each event checked as POST /events checks it."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import click
import orjson

from penstock.cli.endpoints import Endpoints, resolve
from penstock.cli.errors import EnvironmentProblem, NotSo
from penstock.cli.printable import printable
from penstock.clock import SystemClock
from penstock.errors import DataError
from penstock.event_input import parse_event
from penstock.schema.codec import Codec, encoder
from penstock.schema.registry import Registry
from penstock.stream.port import Outgoing
from penstock.stream.publisher import KafkaPublisher, Publisher

INBOX = "events.inbox"
MAX_LINE_BYTES = 8 << 20
_READ_BYTES = 256 << 10

Line = tuple[int, bytes | None]
"""Its number, from 1, and its bytes; None where it is longer than MAX_LINE_BYTES."""


@dataclass(slots=True)
class Outcome:
    published: int = 0
    errors: list[dict[str, object]] = field(default_factory=list)

    def refuse(self, line: int, error: DataError) -> None:
        self.errors.append({"line": line, "field": error.field, "reason": error.reason, "detail": error.detail})


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def publish(ctx: click.Context, file: BinaryIO, *, as_json: bool) -> None:
    """Publish events from FILE, one JSON object a line; without FILE from standard input. Says what is wrong with each
    line that is no event, publishes the others, and ends with exit code 1 if there was one.
    """
    endpoints, outcome = resolve(ctx), Outcome()
    try:
        asyncio.run(_publish(endpoints, file, outcome))
    finally:
        _tell(outcome, as_json=as_json)
    if outcome.errors:
        raise NotSo(f"{len(outcome.errors)} of {len(outcome.errors) + outcome.published} lines were not published")


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"published": outcome.published, "errors": outcome.errors}, indent=2))
        return
    for error in outcome.errors:
        where = f"{error['field']}: " if error["field"] else ""
        click.echo(printable(f"line {error['line']}: {where}{error['reason']}: {error['detail']}"), err=True)
    click.echo(f"{outcome.published} published")


async def _publish(endpoints: Endpoints, file: BinaryIO, outcome: Outcome) -> None:
    async with Registry(endpoints.schema_registry_url) as registry:
        codec = await encoder(registry, "event", f"{INBOX}-value")
    publisher = KafkaPublisher(endpoints.bootstrap_servers, "penstock.publish", timeout_s=10.0, quiet=True)
    batches = batches_of(file)
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            await publish_lines(batch, codec, publisher, SystemClock().now_ms(), outcome)
    finally:
        await publisher.close()


def batches_of(file: BinaryIO) -> Iterator[list[Line]]:
    """The lines of a stream as they come: what is there is not held back for what is not. Empty ones are left out."""
    number, rest, too_long = 0, b"", False
    read = getattr(file, "read1", file.read)
    while chunk := read(_READ_BYTES):
        *complete, rest = (rest + chunk).split(b"\n")
        batch: list[Line] = []
        for line in complete:
            number += 1
            batch += _kept(number, None if too_long or len(line) > MAX_LINE_BYTES else line)
            too_long = False
        if len(rest) > MAX_LINE_BYTES:
            rest, too_long = b"", True
        if batch:
            yield batch
    if rest or too_long:
        yield _kept(number + 1, None if too_long else rest)


def _kept(number: int, line: bytes | None) -> list[Line]:
    return [] if line is not None and not line.strip() else [(number, line)]


async def publish_lines(
    lines: Sequence[Line], codec: Codec, publisher: Publisher, now_ms: int, outcome: Outcome
) -> None:
    """Publishes the lines that are events, and notes in `outcome` what became of all.

    Raises:
        EnvironmentProblem: the broker did not take one that is an event.
    """
    sent: list[tuple[int, Outgoing]] = []
    for number, line in lines:
        try:
            sent.append((number, _outgoing(line, codec, now_ms)))
        except DataError as error:
            outcome.refuse(number, error)
    results = await publisher.publish([outgoing for _, outgoing in sent])
    for (number, _), result in zip(sent, results, strict=True):
        if result is None:
            outcome.published += 1
        elif isinstance(result, DataError):
            outcome.refuse(number, result)
    unsent = [(number, result) for (number, _), result in zip(sent, results, strict=True)
              if result is not None and not isinstance(result, DataError)]  # fmt: skip
    if unsent:
        number, why = unsent[0]
        raise EnvironmentProblem(
            f"line {number} and what follows may not be published: {why}. Publish the file again when Kafka is back:"
            " an event that is in already counts once"
        )


def _outgoing(line: bytes | None, codec: Codec, now_ms: int) -> Outgoing:
    if line is None:
        raise DataError("too-large", f"the line has more than {MAX_LINE_BYTES:,} bytes")
    try:
        stated = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError("not-json", str(error)) from None
    event = parse_event(stated, now_ms)
    return Outgoing(INBOX, event.id.encode(), codec.encode(event.to_record()), [], now_ms)
