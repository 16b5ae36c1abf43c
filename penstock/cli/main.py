"""The command line: `penstock COMMAND`. Each group of commands lives in its own file beside this one."""

import importlib
import itertools
from pathlib import Path
from typing import Any

import click

from penstock.cli.endpoints import Flags
from penstock.cli.errors import EnvironmentProblem
from penstock.errors import PenstockError, TransientError

# Command → where it is. A command is imported when it is used, so that each starts quickly.
COMMANDS = {
    "up": "penstock.cli.stack:up",
    "down": "penstock.cli.stack:down",
    "status": "penstock.cli.stack:status",
    "logs": "penstock.cli.stack:logs",
    "env": "penstock.cli.stack:env",
    "topics": "penstock.cli.topics:topics",
    "schemas": "penstock.cli.schemas:schemas",
    "run": "penstock.cli.run:run",
    "services": "penstock.cli.services:services",
    "replay": "penstock.cli.replay:replay",
    "publish": "penstock.cli.publish:publish",
    "consume": "penstock.cli.consume:consume",
    "demo": "penstock.cli.demo:demo",
    "lake": "penstock.cli.lake:lake",
    "ledger": "penstock.cli.ledger:ledger",
    "dlq": "penstock.cli.dlq:dlq",
}


class _Commands(click.Group):
    """Finds commands by the table, takes global options anywhere, and turns errors into a sentence and exit code 3."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name]} is not a command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`penstock up --data X` is `penstock --data X up`."""
        names = {name for option in self.params for name in option.opts if option.name in Flags.__slots__}
        first, rest = [], []
        words = iter(args)
        for word in words:
            if word == "--":
                rest += [word, *words]
            elif word in names:
                first += [word, *itertools.islice(words, 1)]
            elif word.partition("=")[0] in names:
                first.append(word)
            else:
                rest.append(word)
        return super().parse_args(ctx, first + rest)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TransientError as error:  # something did not answer
            hint = "is everything up? `penstock status` says, `penstock up` starts what is not"
            raise EnvironmentProblem(f"{error} ({hint})") from error
        except PenstockError as error:
            raise EnvironmentProblem(str(error)) from error
        except OSError as error:
            raise EnvironmentProblem(_os_problem(error)) from error


def _os_problem(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or str(error) or type(error).__name__}"


@click.group(cls=_Commands)
@click.version_option(package_name="penstock")
@click.option("--data", type=click.Path(path_type=Path), help="The stack's data folder.  [PENSTOCK_DATA]")
@click.option("--bootstrap-servers", help="Kafka, if not the embedded one.  [PENSTOCK_BOOTSTRAP_SERVERS]")
@click.option("--schema-registry-url", help="The schema registry.  [PENSTOCK_SCHEMA_REGISTRY_URL]")
@click.option("--postgres-dsn", help="The database.  [PENSTOCK_POSTGRES_DSN]")
@click.option("--object-store-url", help="The object store.  [PENSTOCK_OBJECT_STORE_URL]")
@click.pass_context
def main(
    ctx: click.Context,
    data: Path | None,
    bootstrap_servers: str | None,
    schema_registry_url: str | None,
    postgres_dsn: str | None,
    object_store_url: str | None,
) -> None:
    """Events from many sources, given to each reader exactly once."""
    ctx.obj = Flags(data, bootstrap_servers, schema_registry_url, postgres_dsn, object_store_url)
