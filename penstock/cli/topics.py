"""`penstock topics apply | list | describe NAME`: the catalogue's topics in the cluster."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from penstock.cli.endpoints import resolve
from penstock.cli.errors import NotSo
from penstock.schema.admin import partitions_asked
from penstock.schema.catalogue import NEVER, Topic, group_of, load_catalogue
from penstock.schema.topics import Topics

_DAY_MS = 86_400_000


@click.group()
def topics() -> None:
    """The Kafka topics that Penstock stands on."""


@topics.command()
@click.option(
    "--from-start",
    "from_start",
    multiple=True,
    metavar="GROUP",
    help="Let a group that has no offset read a topic from its start, though it holds records already.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def apply(ctx: click.Context, *, from_start: tuple[str, ...], as_json: bool) -> None:
    """Create what is missing, align settings, give new groups their start. PENSTOCK_PARTITIONS sets another number of
    partitions for keyed topics. Exit code 1 if something was refused or needs a decision.
    """
    catalogue = load_catalogue()
    known = sorted({group for topic in catalogue.topics for group in topic.groups})
    asked = tuple(name if name.startswith("penstock.") else group_of(name) for name in from_start)
    for group in asked:
        if group not in known:
            raise click.BadParameter(f"{group} is none of {', '.join(known)}", param_hint="--from-start")
    there = Topics(resolve(ctx).bootstrap_servers)
    report = asyncio.run(there.apply(catalogue, partitions=partitions_asked(os.environ), from_start=asked))
    if as_json:
        click.echo(json.dumps({"topics": report.topics, "done": report.done, "problems": report.problems}, indent=2))
    else:
        for line in report.done:
            click.echo(line)
        click.echo(f"{report.topics} topics, {len(report.done) or 'no'} changes")
    if report.problems:
        raise NotSo("\n".join(report.problems))


@topics.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def list_topics(ctx: click.Context, *, as_json: bool) -> None:
    """List the catalogue, and what the cluster has of it. Exit code 1 if a topic is missing."""
    catalogue = load_catalogue()
    _, existing = asyncio.run(Topics(resolve(ctx).bootstrap_servers).existing(catalogue))
    counts = {name: found.partitions for name, found in existing.items()}
    if as_json:
        rows = [{**asdict(topic), "partitions": counts.get(topic.name)} for topic in catalogue.topics]
        click.echo(json.dumps({"topics": rows}, indent=2))
    else:
        table = Table(Column("topic", no_wrap=True), "partitions", Column("record", no_wrap=True), "kept", "read by")
        table.box = None
        for topic in catalogue.topics:
            table.add_row(*map(escape, _row(topic, counts.get(topic.name))))
        Console(highlight=False).print(table)
    missing = [topic.name for topic in catalogue.topics if topic.name not in existing]
    if missing:
        raise NotSo(f"missing: {', '.join(missing)}; `penstock topics apply` makes them")


def _row(topic: Topic, count: int | None) -> list[str]:
    partitions = "missing" if count is None else str(count)
    return [topic.name, partitions, topic.record or "-", _kept(topic), ", ".join(topic.read_by) or "-"]


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "last of each key"
    return "until deleted" if topic.retention_ms == NEVER else f"{topic.retention_ms // _DAY_MS} days"


@topics.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def describe(ctx: click.Context, name: str, *, as_json: bool) -> None:
    """Say what a topic is for, how it is set, how full its partitions are, and how far each group has read."""
    catalogue = load_catalogue()
    names = [topic.name for topic in catalogue.topics]
    if name not in names:
        raise click.BadParameter(f"{name} is none of {', '.join(names)}", param_hint="NAME")
    found = asyncio.run(_described(resolve(ctx).bootstrap_servers, catalogue.topic(name)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)
    if found["partitions"] is None:
        raise NotSo(f"{name} does not exist; `penstock topics apply` makes it")


async def _described(bootstrap_servers: str, topic: Topic) -> dict[str, Any]:
    there = Topics(bootstrap_servers)
    _, existing = await there.existing(load_catalogue())
    found = existing.get(topic.name)
    described: dict[str, Any] = {**asdict(topic), "subject": topic.subject, "groups": {}, "partitions": None}
    if found is None:
        return described
    ends = await there.ends({topic.name: found.partitions})
    described["settings"] = dict(found.configs)
    described["replicas"] = found.replication
    described["partitions"] = [
        {"partition": number, "begin": at.begin, "end": at.end} for (_, number), at in ends.items()
    ]
    for group in topic.groups:
        committed = await there.committed(group, list(ends))
        described["groups"][group] = {str(number): offset for (_, number), offset in committed.items()}
    return described


def _show(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(found['name'])}[/bold]  {escape(found['description'])}", soft_wrap=True)
    about = Table(show_header=False, box=None)
    for field in ("key", "record", "subject", "written_by", "read_by", "replicas"):
        value = found.get(field)
        shown = ", ".join(value) if isinstance(value, tuple) else value
        about.add_row(field.replace("_", " "), escape(str(shown or "-")))
    for setting, value in found.get("settings", {}).items():
        about.add_row(setting, escape(value))
    console.print(about)
    groups = found["groups"]
    table = Table("partition", "begin", "end", *(escape(group) for group in groups), box=None)
    for row in found["partitions"] or ():
        places = [offsets[str(row["partition"])] for offsets in groups.values()]
        table.add_row(*map(str, row.values()), *("no offset" if place is None else str(place) for place in places))
    console.print(table)
