"""`penstock replay`: recorded files as the events they hold. The work is done by `python -m services.ingest replay`."""

import os
import subprocess
import sys

import click

from penstock.cli.endpoints import resolve


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def replay(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Send recorded files, as the events they hold, into events.raw.

    FILE... --source NAME [--rate 200/s] [--duplicate 0.15] [--manifest FILE]; `penstock replay --help` says more.
    """
    environment = {} if {"-h", "--help"} & set(arguments) else resolve(ctx).environment()
    child = subprocess.Popen(
        [sys.executable, "-m", "services.ingest", "replay", *arguments], env={**os.environ, **environment}
    )
    while True:
        try:
            ctx.exit(child.wait())
        except KeyboardInterrupt:
            continue  # the terminal has sent it to the child too, which drains and ends
