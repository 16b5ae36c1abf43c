"""`penstock schemas register | check`: the records' schemas, in the registry and in their files."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import click

from penstock.cli.endpoints import resolve
from penstock.cli.errors import NotSo
from penstock.schema.admin import register_all
from penstock.schema.catalogue import load_catalogue
from penstock.schema.check import check_files, check_registry
from penstock.schema.registry import Registry


@click.group()
def schemas() -> None:
    """The Avro schemas of what is in the topics."""


@schemas.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def register(ctx: click.Context, *, as_json: bool) -> None:
    """Register every schema under `<topic>-value`, held to BACKWARD_TRANSITIVE. Twice is as good as once."""

    async def run() -> list[dict[str, object]]:
        async with Registry(resolve(ctx).schema_registry_url) as registry:
            return [asdict(made) for made in await register_all(registry, load_catalogue())]

    registered = asyncio.run(run())
    if as_json:
        click.echo(json.dumps({"schemas": registered}, indent=2))
    else:
        for made in registered:
            click.echo(f"{made['subject']}: {made['record']} v{made['version']} has id {made['schema_id']}")


@schemas.command()
@click.option(
    "--schemas",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Check this folder of avro/ and topics/ instead of the one Penstock comes with.",
)
@click.option("--files-only", is_flag=True, help="Leave the registry out.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def check(ctx: click.Context, *, folder: Path | None, files_only: bool, as_json: bool) -> None:
    """Check that each schema can read what every earlier version wrote: of its files, and of what is registered.
    Exit code 1 if one cannot.
    """

    async def run() -> tuple[int, list[str]]:
        checked, problems = check_files(folder)
        if not files_only:
            async with Registry(resolve(ctx).schema_registry_url) as registry:
                problems += await check_registry(registry, load_catalogue(folder), folder)
        return checked, problems

    checked, problems = asyncio.run(run())
    if as_json:
        click.echo(json.dumps({"checked": checked, "problems": problems}, indent=2))
    if problems:
        raise NotSo("\n".join(problems))
    if not as_json:
        against = "their earlier files" if files_only else "their earlier files and the registry"
        click.echo(f"{checked} schemas agree with {against}")
