"""`penstock ledger`: proves that nothing was lost or doubled."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from penstock.cli.dlq_reading import decoders
from penstock.cli.endpoints import resolve
from penstock.cli.errors import NotSo
from penstock.cli.overview import lag
from penstock.cli.parameters import DURATION, MOMENT
from penstock.cli.printable import printable
from penstock.clock import SystemClock
from penstock.errors import TransientError
from penstock.ledger.accounts import OUTSIDE, STAGES, balance, with_lag
from penstock.ledger.count import Ledger, Places, Verdict, open_ledger, until_balanced
from penstock.ledger.expectation import Expectation, read_expectation
from penstock.ledger.report import COUNTED, as_json, dead, moment
from penstock.ledger.tally import Tally
from penstock.schema.registry import Registry

SINKS_VARIABLE = "PENSTOCK_SINKS"
_ACCOUNT_OF_SINK = {"postgres": "postgres", "s3": "parquet"}


@click.command()
@click.option(
    "--expect",
    "manifests",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What a replay sent (`penstock replay --manifest FILE`), to be compared too; may be given several times.",
)
@click.option(
    "--timeout", "timeout_s", type=DURATION, default="60s", show_default=True, help="How long to wait for balance."
)
@click.option(
    "--since", "since_ms", type=MOMENT, help="Judge only what came in since then: a time, or 2h for two hours ago."
)
@click.option("--json", "as_program", is_flag=True, help="For programs.")
@click.pass_context
def ledger(
    ctx: click.Context, *, manifests: tuple[Path, ...], timeout_s: float, since_ms: int | None, as_program: bool
) -> None:
    """Prove that nothing was lost or doubled.

    Recounts topics, the table and the files that manifests name, per source, and waits for what is still on its way.
    Exit code 0 only if everything balances.
    """
    judged = judged_sinks(os.environ)
    expected = [read_expectation(path) for path in manifests]
    endpoints = resolve(ctx)
    places = Places(endpoints.bootstrap_servers, endpoints.postgres_dsn, endpoints.object_store_url, judged)
    verdict = asyncio.run(_judge(places, endpoints.schema_registry_url, expected, timeout_s, since_ms))
    if as_program:
        click.echo(json.dumps(as_json(verdict), indent=2))
    else:
        show(verdict, expected, Console(highlight=False))
    if not verdict.balanced:
        raise NotSo(f"not balanced: {len(verdict.problems)} problem{'s' * (len(verdict.problems) != 1)}")


def judged_sinks(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The accounts of the stores that PENSTOCK_SINKS names, all where it is not set.

    Raises:
        click.UsageError: it names something else.
    """
    named = environ.get(SINKS_VARIABLE, "").replace(",", " ").split() or list(_ACCOUNT_OF_SINK)
    for name in named:
        if name not in _ACCOUNT_OF_SINK:
            raise click.UsageError(f"{SINKS_VARIABLE} names {name!r}; there are {', '.join(_ACCOUNT_OF_SINK)}")
    return tuple(_ACCOUNT_OF_SINK[name] for name in named)


async def _judge(
    places: Places, registry_url: str, expected: list[Expectation], timeout_s: float, since_ms: int | None
) -> Verdict:
    clock = SystemClock()
    asked_ms = clock.now_ms()
    async with Registry(registry_url) as registry:

        async def opening() -> Ledger:
            return await open_ledger(places, expected, decoders(registry), asked_ms, since_ms)

        console = Console(stderr=True)
        with console.status("counting") as status:
            verdict = await until_balanced(opening, timeout_s, clock, _progress(status), _waiting(status))
    if verdict.balanced:
        return verdict
    try:
        return replace(verdict, problems=with_lag(verdict.problems, await lag(places.bootstrap_servers)))
    except TransientError:
        return verdict  # lag only helps to understand the verdict, which stands without it


def _progress(status: Status) -> Callable[[str, int, int], None]:
    return lambda what, done, total: status.update(f"counting {escape(what)} {done:,} / {total:,}")


def _waiting(status: Status) -> Callable[[Verdict | TransientError], None]:
    def tell(news: Verdict | TransientError) -> None:
        if isinstance(news, TransientError):
            status.update(f"trying again: {escape(printable(str(news)))}")
        elif news.problems:
            status.update(f"waiting: {escape(printable(str(news.problems[0])))}")

    return tell


def show(verdict: Verdict, expected: list[Expectation], console: Console) -> None:
    """The verdict for people: a line per source, what the replays say, the problems, the last word."""
    table = Table("source", box=None, header_style="bold")
    for account in (*COUNTED, "dead", *verdict.sinks):
        table.add_column(account, justify="right")
    table.add_column("")
    wrong = {problem.source for problem in verdict.problems}
    for source, book in verdict.books.items():
        table.add_row(
            escape(printable(source)),
            *(f"{balance(book, account).count:,}" for account in COUNTED),
            _dead(book),
            *(f"{balance(book, sink).count:,}" for sink in verdict.sinks),
            "[red]not balanced" if source in wrong else "[green]balanced",
        )
    if verdict.books:
        console.print(table)
    for words, account in (
        ("refused by ingest, in no equation", f"dead.{OUTSIDE}"),
        *((f"purged among the dead of {stage}", f"purged.{stage}") for stage in STAGES),
    ):
        counts = {source: balance(book, account).count for source, book in verdict.books.items()}
        listed = ", ".join(f"{escape(printable(source))} {count:,}" for source, count in counts.items() if count)
        if listed:
            console.print(f"{words}: {listed}")
    for told in expected:
        skipped = ", ".join(f"{escape(printable(reason))} {count:,}" for reason, count in told.skipped.items())
        console.print(
            f"{escape(told.path)}: {told.lines:,} lines, skipped {skipped or 0}; {told.sent:,} sent,"
            f" {told.planted:,} planted duplicates, {told.unique:,} unique"
        )
    for problem in verdict.problems:
        console.print(f"[red]✗[/] {escape(printable(str(problem)))}")
    since = "" if verdict.cut.from_ms is None else f" since {moment(verdict.cut.from_ms)}"
    if verdict.balanced:
        raw = sum(balance(book, "raw").count for book in verdict.books.values())
        console.print(
            f"[green]balanced[/]: nothing lost, nothing doubled of {raw:,}{since}, as of {moment(verdict.cut.to_ms)}"
        )
    else:
        console.print(f"[red]not balanced[/]{since}, as of {moment(verdict.cut.to_ms)}")


def _dead(book: Mapping[str, Tally]) -> str:
    by_stage = {stage: count for stage, count in dead(book).items() if count and stage != OUTSIDE}
    total = sum(by_stage.values())
    if not by_stage:
        return "0"
    return f"{total:,} ({', '.join(f'{stage} {count:,}' for stage, count in by_stage.items())})"
