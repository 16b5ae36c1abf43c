"""`penstock dlq list | show | audit`: what could not be processed, kept whole, with the reason, and what became of it.

`retry` and `purge`, which change something, are in dlq_settle.py.
"""

import asyncio
import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock.cli.dead_letter import as_json, as_text, original
from penstock.cli.dlq_actions import Run, runs_of
from penstock.cli.dlq_filters import filtered, letters
from penstock.cli.dlq_reading import decoders, reading
from penstock.cli.dlq_settle import purge, retry
from penstock.cli.endpoints import Endpoints, resolve
from penstock.cli.errors import NotSo
from penstock.cli.printable import printable
from penstock.errors import DataError
from penstock.ledger.accounts import ALL_STAGES
from penstock.ledger.audit import Action
from penstock.ledger.dead import Found, Wanted, find, read_actions
from penstock.ledger.letters import DeadLetter
from penstock.ledger.report import moment
from penstock.schema.codec import HEADER_SIZE, MAGIC, Decoder
from penstock.schema.registry import Registry

_DETAIL_WIDTH = 60

_limit = click.option(
    "-n", "limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the last ones."
)
_with_settled = click.option(
    "--all", "with_settled", is_flag=True, help="Also those that were sent back or thrown away."
)
_json = click.option("--json", "as_program", is_flag=True, help="For programs.")


@click.group()
def dlq() -> None:
    """Dead letters: records that a stage could not process."""


dlq.add_command(retry)
dlq.add_command(purge)


@dlq.command("list")
@filtered
@_limit
@_with_settled
@_json
@click.pass_context
def list_letters(ctx: click.Context, *, wanted: Wanted, limit: int, with_settled: bool, as_program: bool) -> None:
    """A line per dead letter, the latest last; those that were sent back or thrown away are left out."""
    found = asyncio.run(_find(resolve(ctx), wanted, limit, with_settled=with_settled))
    if as_program:
        rows = [as_json(letter, settled=found.settled.get(letter.id)) for letter in found.letters]
        click.echo(json.dumps(rows, indent=2))
    elif found.letters:
        Console(highlight=False).print(_table(found))
    _tell_rest(found)


@dlq.command()
@filtered
@letters
@_limit
@_with_settled
@_json
@click.pass_context
def show(ctx: click.Context, *, wanted: Wanted, limit: int, with_settled: bool, as_program: bool) -> None:
    """Dead letters in full: those named as in the list, or those that the options choose.

    The original's bytes are shown as they came, and decoded where that is possible.
    """
    found, decoded = asyncio.run(_find_decoded(resolve(ctx), wanted, limit, with_settled=with_settled))
    shown = [(letter, found.settled.get(letter.id), decoded[letter.id]) for letter in found.letters]
    if as_program:
        rows = [as_json(letter, settled=done, decoded=content, whole=True) for letter, done, content in shown]
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo("\n\n".join(as_text(letter, content, done) for letter, done, content in shown))
    missing = set(wanted.ids) - decoded.keys()
    if missing:
        raise NotSo(f"no dead letter {', '.join(sorted(missing))} with what was asked for")
    _tell_rest(found)


@dlq.command()
@click.option("--stage", "stages", multiple=True, type=click.Choice(ALL_STAGES), help="Of this stage alone.")
@_limit
@_json
@click.pass_context
def audit(ctx: click.Context, *, stages: tuple[str, ...], limit: int, as_program: bool) -> None:
    """Who sent which dead letters back, and who threw which away; the latest last."""
    actions = asyncio.run(_actions(resolve(ctx)))
    runs = [run for run in runs_of(actions) if not stages or run.stage in stages]
    if as_program:
        click.echo(json.dumps([run.as_json() for run in runs[-limit:]], indent=2))
    elif runs:
        Console(highlight=False).print(_runs_table(runs[-limit:]))
    if not runs:
        click.echo("nothing was sent back or thrown away", err=True)
    elif len(runs) > limit:
        click.echo(f"the last {limit:,} of {len(runs):,}; -n shows more", err=True)


async def _find(endpoints: Endpoints, wanted: Wanted, limit: int, *, with_settled: bool) -> Found:
    async with reading(endpoints) as (reader, registry):
        return await find(reader, decoders(registry), wanted, limit, with_settled=with_settled or bool(wanted.ids))


async def _find_decoded(
    endpoints: Endpoints, wanted: Wanted, limit: int, *, with_settled: bool
) -> tuple[Found, dict[str, Any]]:
    """With what was found, by its names, as the schemas see it."""
    found = await _find(endpoints, wanted, limit, with_settled=with_settled)
    async with Registry(endpoints.schema_registry_url) as registry:
        return found, {letter.id: await _decode(registry, letter) for letter in found.letters}


async def _decode(registry: Registry, letter: DeadLetter) -> dict[str, Any] | None:
    """The original as the schema it names sees it; None where it names none, or is not what it says."""
    value = letter.value
    if value is None or len(value) < HEADER_SIZE or not value.startswith(MAGIC):
        return None
    try:
        schema = await registry.schema(int.from_bytes(value[1:HEADER_SIZE], "big"))
        decoder = Decoder(registry, schema)
        await decoder.prepare([value])
        return decoder.decode(value)
    except DataError:
        return None


async def _actions(endpoints: Endpoints) -> list[Action]:
    async with reading(endpoints) as (reader, registry):
        return await read_actions(reader, decoders(registry).actions)


def _table(found: Found) -> Table:
    heads = ["letter", "dead since", "source", "reason", "original", "detail"]
    table = Table(*heads, *(["settled"] if found.settled else []), box=None, header_style="bold")
    for letter in found.letters:
        detail = printable(letter.detail)
        done = found.settled.get(letter.id)
        table.add_row(
            letter.id,
            moment(letter.failed_at_ms),
            escape(printable(letter.source or "-")),
            escape(printable(letter.reason)),
            escape(original(letter)),
            escape(detail if len(detail) <= _DETAIL_WIDTH else f"{detail[: _DETAIL_WIDTH - 1]}…"),
            *([f"{done.command.value} {moment(done.at_ms)}"] if done else []),
        )
    return table


def _runs_table(runs: list[Run]) -> Table:
    table = Table("when", "who", "command", "stage", "letters", "by source", "chosen by", box=None, header_style="bold")
    for run in runs:
        sources = ", ".join(f"{printable(source)} {tally.count:,}" for source, tally in sorted(run.tallies.items()))
        table.add_row(
            moment(run.at_ms),
            escape(printable(run.who)),
            run.command.value,
            run.stage,
            f"{len(run.letters):,}",
            escape(sources),
            escape(printable(run.filters or "all")),
        )
    return table


def _tell_rest(found: Found) -> None:
    if not found.count:
        click.echo("no dead letters", err=True)
    elif found.count > len(found.letters):
        click.echo(f"the last {len(found.letters):,} of {found.count:,}; -n shows more", err=True)
    if found.hidden:
        click.echo(f"{found.hidden:,} were sent back or thrown away; --all shows them too", err=True)
    if found.unreadable:
        click.echo(f"{found.unreadable:,} letters cannot be read: something else than Penstock wrote them", err=True)
