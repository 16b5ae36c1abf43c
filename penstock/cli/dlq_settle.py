"""`penstock dlq retry | purge`: sends dead letters back to their stage, or throws them away."""

import asyncio
import getpass
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.markup import escape

from penstock.cli.dlq_filters import Command, as_typed, filtered, letters
from penstock.cli.dlq_reading import decoders, reading
from penstock.cli.endpoints import Endpoints, resolve
from penstock.cli.errors import NotSo
from penstock.cli.printable import printable
from penstock.clock import SystemClock
from penstock.dlq.settlement import TRANSACTIONAL_ID, Order, Progress, Rules, Settlement
from penstock.dlq.summary import Summary
from penstock.dlq.way_back import ways_back
from penstock.ledger import audit
from penstock.ledger.dead import Wanted
from penstock.schema.catalogue import load_catalogue
from penstock.schema.codec import encoder
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings

MAX_ATTEMPTS = 5
_QUIET_S = 5.0
_DONE = {audit.Command.RETRY: "sent back", audit.Command.PURGE: "thrown away"}

_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    click.option("--yes", is_flag=True, help="Do not ask."),
    click.option("--json", "as_program", is_flag=True, help="For programs."),
)


def _manner(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a command goes about it."""

    dry_run: bool
    yes: bool
    as_program: bool

    def __post_init__(self) -> None:
        if not self.yes and not self.dry_run and not sys.stdin.isatty():
            raise click.UsageError(
                "there is no terminal to ask at: give --yes to do it, or --dry-run to see what would be done"
            )


@click.command()
@filtered
@letters
@click.option(
    "--max-attempts",
    type=click.IntRange(1),
    default=MAX_ATTEMPTS,
    envvar="PENSTOCK_DLQ_MAX_ATTEMPTS",
    show_default=True,
    show_envvar=True,
    help="A letter that its stage has tried so many times is not sent back any more.",
)
@_manner
@click.pass_context
def retry(ctx: click.Context, *, wanted: Wanted, max_attempts: int, dry_run: bool, yes: bool, as_program: bool) -> None:
    """Send dead letters back to their stage: those named, or all that the options choose.

    Each goes back once, however often the command is run; if it dies again, that is a new letter. Exit code 1 if some
    were refused.
    """
    manner = _Manner(dry_run, yes, as_program)
    ways = ways_back(load_catalogue())
    for stage in wanted.stages:
        if stage not in ways:
            raise click.UsageError(
                f"{stage}'s dead letters can only be purged: it judges a record by what came in beside it"
            )
    _carry_out(resolve(ctx), audit.Command.RETRY, wanted, Rules(ways, max_attempts), manner)


@click.command()
@filtered
@letters
@_manner
@click.pass_context
def purge(ctx: click.Context, *, wanted: Wanted, dry_run: bool, yes: bool, as_program: bool) -> None:
    """Throw dead letters away: those named, or all that the options choose.

    The audit keeps their uids, so that the ledger knows them still. Their bytes are deleted as soon as all letters
    before them are settled too, and after 30 days at the latest.
    """
    manner = _Manner(dry_run, yes, as_program)
    _carry_out(resolve(ctx), audit.Command.PURGE, wanted, Rules({}, 0), manner)


def _carry_out(endpoints: Endpoints, command: audit.Command, wanted: Wanted, rules: Rules, manner: _Manner) -> None:
    order = Order(command, wanted, who(), secrets.token_hex(8), as_typed(wanted))
    summary = asyncio.run(_settle(endpoints, order, rules, manner))
    problems = [f"{summary.refusals:,} letters were not sent back"] if summary.refusals else []
    missing = sorted(set(wanted.ids) - summary.names)
    if missing:
        problems.append(f"no dead letter {', '.join(missing)} with what was asked for")
    if problems:
        raise NotSo("; ".join(problems))


async def _settle(endpoints: Endpoints, order: Order, rules: Rules, manner: _Manner) -> Summary:
    """Surveys, asks, does it, and tells; also how far it came before something went wrong."""
    async with reading(endpoints) as (reader, registry):
        facts = await reader.facts([audit.TOPIC, *(f"dlq.{stage}" for stage in order.wanted.of_stages())])
        codec = await encoder(registry, audit.RECORD, f"{audit.TOPIC}-value")
        broker = KafkaBroker(ClientSettings(endpoints.bootstrap_servers, TRANSACTIONAL_ID, (), TRANSACTIONAL_ID))
        try:
            settlement = Settlement(broker, facts, decoders(registry), codec.encode, rules, SystemClock())
            with _progress("looking through") as progress:
                survey = await settlement.survey(order, progress)
            if manner.dry_run or not _is_something_to_do(order, survey):
                _tell(order, survey, manner)
                return survey
            if survey.count and not manner.yes:
                _ask(order, survey)
            summary = Summary()
            try:
                with _progress("settling what is in") as progress:
                    await settlement.carry_out(order, summary, progress)
            finally:
                _tell(order, summary, manner)
            return summary
        finally:
            await broker.close()


def _is_something_to_do(order: Order, survey: Summary) -> bool:
    """An earlier purge may have been stopped before it deleted what it had settled."""
    return survey.count > 0 or (order.command is audit.Command.PURGE and survey.before > 0)


def _ask(order: Order, survey: Summary) -> None:
    for line in lines(order, survey, "to be "):
        click.echo(line, err=True)
    if not click.confirm("Shall it be done?", err=True):
        raise NotSo("nothing was done")


def _tell(order: Order, summary: Summary, manner: _Manner) -> None:
    if manner.as_program:
        about = {"command": order.command.value, "run": order.run, "who": order.who, "dry_run": manner.dry_run}
        click.echo(json.dumps(about | summary.as_json(), indent=2))
    else:
        for line in lines(order, summary, "to be " if manner.dry_run else ""):
            click.echo(line)


def lines(order: Order, summary: Summary, prefix: str) -> Iterator[str]:
    yield f"{summary.count:,} dead letters {prefix}{_DONE[order.command]}"
    for stage, sources in summary.settled.items():
        counted = ", ".join(f"{printable(source)} {tally.count:,}" for source, tally in sorted(sources.items()))
        yield f"  {stage}: {counted}"
    for reason, refused in summary.refused.items():
        more = ", ..." if refused.count > len(refused.letters) else ""
        yield f"{refused.count:,} refused, {reason}: {', '.join(refused.letters)}{more}"
        yield f"  {printable(refused.detail)}"
    if summary.before:
        yield f"{summary.before:,} were sent back or thrown away before"
    if summary.unreadable:
        yield f"{summary.unreadable:,} cannot be read and stay: something else than Penstock wrote them"
    for tp, offset in summary.deleted.items():
        yield f"{tp.topic}: the bytes of all letters before {tp.partition}/{offset} are deleted"


def who() -> str:
    """user@host, as the audit has it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def _progress(doing: str) -> Iterator[Progress]:
    """On standard error: a line that changes at a terminal, else one every few seconds."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    told_s = time.monotonic()
    with console.status(doing) as status:

        def tell(topic: str, done: int, total: int) -> None:
            nonlocal told_s
            text = f"{doing} {topic}: {done:,} of {total:,}"
            status.update(escape(text))
            if not console.is_terminal and time.monotonic() - told_s >= _QUIET_S:
                told_s = time.monotonic()
                console.print(text, markup=False)

        yield tell
