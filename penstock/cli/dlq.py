"""`penstock dlq list | show | retry | purge`: what could not be processed, kept whole, with the reason."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock.cli.dead_letter import as_json, as_text, original
from penstock.cli.endpoints import Endpoints, resolve
from penstock.cli.errors import NotSo
from penstock.cli.parameters import MOMENT
from penstock.cli.printable import printable
from penstock.errors import DataError
from penstock.ledger.dead import ALL_STAGES, Found, Wanted, find
from penstock.ledger.kafka_reader import KafkaReader
from penstock.ledger.letters import DeadLetter
from penstock.ledger.report import moment
from penstock.schema.codec import HEADER_SIZE, MAGIC, Decoder
from penstock.schema.registry import Registry

_DETAIL_WIDTH = 60


_FILTERS = (
    click.option("--stage", "stages", multiple=True, type=click.Choice(ALL_STAGES), help="Of this stage alone."),
    click.option("--reason", "reasons", multiple=True, help="For this reason alone, e.g. bad-magic."),
    click.option("--source", "sources", multiple=True, help="Of this source alone."),
    click.option("--since", "since_ms", type=MOMENT, help="Dead since then: a time, or 2h for two hours ago."),
    click.option(
        "-n", "limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the last ones."
    ),
    click.option("--json", "as_program", is_flag=True, help="For programs."),
)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def dlq() -> None:
    """Dead letters: records that a stage could not process."""


@dlq.command("list")
@_filters
@click.pass_context
def list_letters(
    ctx: click.Context,
    *,
    stages: tuple[str, ...],
    reasons: tuple[str, ...],
    sources: tuple[str, ...],
    since_ms: int | None,
    limit: int,
    as_program: bool,
) -> None:
    """A line per dead letter, the latest last."""
    found = asyncio.run(_find(resolve(ctx), Wanted(stages, reasons, sources, since_ms), limit))
    if as_program:
        click.echo(json.dumps([as_json(letter) for letter in found.letters], indent=2))
    elif found.letters:
        Console(highlight=False).print(_table(found))
    _tell_rest(found)


@dlq.command()
@_filters
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@click.pass_context
def show(
    ctx: click.Context,
    *,
    letters: tuple[str, ...],
    stages: tuple[str, ...],
    reasons: tuple[str, ...],
    sources: tuple[str, ...],
    since_ms: int | None,
    limit: int,
    as_program: bool,
) -> None:
    """Dead letters in full: those named as in the list, or those that the options choose.

    The original's bytes are shown as they came, and decoded where that is possible.
    """
    for letter in letters:
        if letter.partition("/")[0] not in ALL_STAGES or letter.count("/") != 2:
            raise click.BadParameter(
                f"{letter!r} is no letter's name; `penstock dlq list` shows them", param_hint="LETTER"
            )
    named_stages = tuple({letter.partition("/")[0] for letter in letters})
    wanted = Wanted(stages or named_stages, reasons, sources, since_ms, letters)
    shown, found = asyncio.run(_find_decoded(resolve(ctx), wanted, limit))
    if as_program:
        click.echo(json.dumps([as_json(letter, decoded=decoded, whole=True) for letter, decoded in shown], indent=2))
    else:
        click.echo("\n\n".join(as_text(letter, decoded) for letter, decoded in shown))
    missing = set(letters) - {letter.id for letter, _ in shown}
    if missing:
        raise NotSo(f"no dead letter {', '.join(sorted(missing))} with what was asked for")
    _tell_rest(found)


@dlq.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="...")
def retry(words: tuple[str, ...]) -> None:
    """Send dead letters back to their stage. Not there yet."""
    raise NotSo("`penstock dlq retry` is not there yet; the dead letters are kept for 30 days, see `penstock dlq list`")


@dlq.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="...")
def purge(words: tuple[str, ...]) -> None:
    """Throw dead letters away. Not there yet."""
    raise NotSo("`penstock dlq purge` is not there yet; dead letters are removed by themselves after 30 days")


async def _find(endpoints: Endpoints, wanted: Wanted, limit: int) -> Found:
    reader = KafkaReader(endpoints.bootstrap_servers)
    try:
        async with Registry(endpoints.schema_registry_url) as registry:
            return await find(reader, Decoder(registry, "dead_letter"), wanted, limit)
    finally:
        await reader.close()


async def _find_decoded(endpoints: Endpoints, wanted: Wanted, limit: int) -> tuple[list[tuple[DeadLetter, Any]], Found]:
    found = await _find(endpoints, wanted, limit)
    async with Registry(endpoints.schema_registry_url) as registry:
        return [(letter, await _decode(registry, letter.value)) for letter in found.letters], found


async def _decode(registry: Registry, value: bytes | None) -> dict[str, Any] | None:
    """The original as the schema it names sees it; None where it names none, or is not what it says."""
    if value is None or len(value) < HEADER_SIZE or not value.startswith(MAGIC):
        return None
    try:
        schema = await registry.schema(int.from_bytes(value[1:HEADER_SIZE], "big"))
        decoder = Decoder(registry, schema)
        await decoder.prepare([value])
        return decoder.decode(value)
    except DataError:
        return None


def _table(found: Found) -> Table:
    table = Table("letter", "dead since", "source", "reason", "original", "detail", box=None, header_style="bold")
    for letter in found.letters:
        detail = printable(letter.detail)
        table.add_row(
            letter.id,
            moment(letter.failed_at_ms),
            escape(printable(letter.source or "-")),
            escape(printable(letter.reason)),
            escape(original(letter)),
            escape(detail if len(detail) <= _DETAIL_WIDTH else f"{detail[: _DETAIL_WIDTH - 1]}…"),
        )
    return table


def _tell_rest(found: Found) -> None:
    if not found.count:
        click.echo("no dead letters", err=True)
    elif found.count > len(found.letters):
        click.echo(f"the last {len(found.letters):,} of {found.count:,}; -n shows more", err=True)
    if found.unreadable:
        click.echo(f"{found.unreadable:,} letters cannot be read: something else than Penstock wrote them", err=True)
