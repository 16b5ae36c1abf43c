"""`penstock services`: state, lag and rate of each."""

import asyncio
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from penstock.cli.endpoints import resolve
from penstock.cli.errors import NotSo
from penstock.cli.overview import Instance, instances, lag

_RATE_OVER_S = 1.0
"""Between two looks, at least: under load they take longer, and the rate goes by the time that really passed."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def services(ctx: click.Context, *, as_json: bool) -> None:
    """Show each running service: its state, how far it is behind, and how fast it goes."""
    endpoints = resolve(ctx)
    rows = asyncio.run(_rows(endpoints.data, endpoints.bootstrap_servers))
    if as_json:
        click.echo(json.dumps({"services": rows}))
    else:
        table = Table("service", "slot", "pid", "state", "lag", "records/s", "in", "out", "dead", box=None)
        for row in rows:
            table.add_row(*(str(value) if value is not None else "-" for value in row.values()))
        Console().print(table if rows else f"no service runs on {endpoints.data}; start them with `penstock run`")
    if not rows or any(row["state"] != "ready" for row in rows):
        raise NotSo("no service runs" if not rows else "not every service is ready")


async def _rows(data: Path, bootstrap_servers: str) -> list[dict[str, object]]:
    before = {(one.service, one.slot): one for one in await instances(data)}
    if not before:
        return []
    behind = await lag(bootstrap_servers)
    await asyncio.sleep(_RATE_OVER_S)
    return [_row(one, before.get((one.service, one.slot)), behind) for one in await instances(data)]


def rate_between(before: Instance | None, after: Instance) -> float:
    """Records taken in per second between two looks at one process; 0 for one that came in between, or anew."""
    if before is None or before.pid != after.pid or after.counted_s <= before.counted_s:
        return 0.0
    taken = after.counts.get("in", 0.0) - before.counts.get("in", 0.0)
    return max(0.0, taken / (after.counted_s - before.counted_s))


def _row(one: Instance, before: Instance | None, behind: dict[str, int]) -> dict[str, object]:
    return {
        "service": one.service,
        "slot": one.slot,
        "pid": one.pid,
        "state": one.state,
        "lag": behind.get(one.service),
        "rate": round(rate_between(before, one), 1),
        "in": int(one.counts.get("in", 0.0)),
        "out": int(one.counts.get("out", 0)),
        "dead": int(one.counts.get("dead", 0)),
    }
