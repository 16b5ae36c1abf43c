"""`penstock up | down | status | logs | env`: the embedded stack."""

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from penstock.cli.endpoints import Flags, of_stack
from penstock.cli.errors import EnvironmentProblem, NotSo
from penstock.cli.progress import ProgressReport
from penstock.local.folders import cache_folder, data_folder
from penstock.local.nodes import COUNTS
from penstock.local.part import log_path
from penstock.local.ready import bring_up
from penstock.local.report import Report
from penstock.local.stack import PartStatus, Stack, part_names
from penstock.local.state import State, StateFile

_PORT = click.IntRange(1, 65535)


def _data(ctx: click.Context) -> Path:
    return data_folder((ctx.find_object(Flags) or Flags()).data, os.environ)


def _stack(ctx: click.Context, report: Report) -> Stack:
    return Stack(_data(ctx), cache_folder(os.environ), report)


@click.command()
@click.option(
    "--nodes",
    type=click.Choice(COUNTS),
    help="Kafka brokers of a new stack: 1, or 3 that go on without any one of them.",
)
@click.option(
    "--kafka-port",
    type=_PORT,
    help="Instead of the one it had, or any free one; the second and third node take those after it.",
)
@click.option("--registry-port", type=_PORT, help="Likewise.")
@click.option("--postgres-port", type=_PORT, help="Likewise.")
@click.pass_context
def up(
    ctx: click.Context,
    nodes: int | None,
    kafka_port: int | None,
    registry_port: int | None,
    postgres_port: int | None,
) -> None:
    """Start Kafka, the schema registry and Postgres, or what is missing of them.

    Returns when all answer, topics and schemas are in place, and every replica is in sync.
    """
    asked = {"kafka": kafka_port, "registry": registry_port, "postgres": postgres_port}
    with ProgressReport() as report:
        stack = _stack(ctx, report)
        found = bring_up(stack, report, {name: port for name, port in asked.items() if port is not None}, nodes)
    click.echo("already up" if not found.started else "up", err=True)
    _show(of_stack(found.state, stack.data).environment())


def _show(environment: dict[str, str]) -> None:
    for name, value in environment.items():
        if name != "PENSTOCK_FINGERPRINT_KEY":
            click.echo(f"{name}={value}")


@click.command()
@click.option("--volumes", is_flag=True, help="Remove all data as well.")
@click.pass_context
def down(ctx: click.Context, *, volumes: bool) -> None:
    """Stop the stack. Its data stays, unless --volumes is given."""
    with ProgressReport() as report:
        stopped = _stack(ctx, report).down(volumes=volumes)
    click.echo(("down" if stopped else "nothing was up") + (", data removed" if volumes else ""), err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is up. Exit code 1 if something is not."""
    with ProgressReport() as report:
        parts = _stack(ctx, report).status()
    if as_json:
        click.echo(json.dumps({"data": str(_data(ctx)), "parts": [asdict(part) for part in parts]}, indent=2))
    elif parts:
        click.echo("\n".join(_lines(parts)))
    if not parts:
        raise NotSo(f"no stack in {_data(ctx)}; `penstock up` starts one")
    if any(part.state != "up" for part in parts):
        raise NotSo("not everything is up")


def _lines(parts: list[PartStatus]) -> list[str]:
    """A table that no terminal's width cuts, with what is wrong below it."""
    rows = [("part", "state", "pid", "version", "up for", "address")]
    for part in parts:
        up_for = "-" if part.uptime_s is None else _duration(part.uptime_s)
        rows.append((part.part, part.state, str(part.pid or "-"), part.version, up_for, part.address or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return lines + [f"{part.part}: {part.problem}" for part in parts if part.problem]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="How many of the last lines."
)
@click.argument("part", required=False)
@click.pass_context
def logs(ctx: click.Context, *, follow: bool, lines: int, part: str | None) -> None:
    """Show what the parts wrote: all of them, or PART."""
    parts = part_names(_known_state(ctx))
    if part is not None and part not in parts:
        raise click.BadParameter(f"{part} is none of {', '.join(parts)}", param_hint="PART")
    shown = [part] if part else parts
    paths = {name: log_path(_data(ctx), name) for name in shown}
    positions = {}
    for name, path in paths.items():
        text = path.read_text(errors="replace") if path.exists() else ""
        positions[name] = path.stat().st_size if path.exists() else 0
        _print_lines(name, text.splitlines()[-lines:] if lines else [], prefixed=len(shown) > 1)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(paths, positions)


def _follow(paths: Mapping[str, Path], positions: dict[str, int]) -> None:
    """What is written after `positions`, until Ctrl-C."""
    while True:
        time.sleep(0.2)
        for name, path in paths.items():
            size = path.stat().st_size if path.exists() else 0
            if size < positions[name]:
                positions[name] = 0  # it was begun anew
            if size > positions[name]:
                with path.open("rb") as file:
                    file.seek(positions[name])
                    fresh, cut, _rest = file.read().rpartition(b"\n")
                positions[name] += len(fresh) + len(cut)
                if cut:
                    _print_lines(name, fresh.decode(errors="replace").splitlines(), prefixed=len(paths) > 1)


def _print_lines(part: str, lines: list[str], *, prefixed: bool) -> None:
    for line in lines:
        click.echo(f"{part:8} | {line}" if prefixed else line)
    sys.stdout.flush()


@click.command()
@click.pass_context
def env(ctx: click.Context) -> None:
    """Print where the stack answers, for `eval "$(penstock env)"`."""
    for name, value in of_stack(_known_state(ctx), _data(ctx)).environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _known_state(ctx: click.Context) -> State:
    state = StateFile(_data(ctx)).read()
    if state is None:
        raise EnvironmentProblem(f"no stack in {_data(ctx)}; `penstock up` starts one")
    return state
