"""`penstock run [SERVICE...]`: services in the foreground, their logs prefixed."""

import asyncio
import signal

import click

from penstock.cli.endpoints import resolve
from penstock.cli.errors import NotSo
from penstock.cli.signals import is_insistent, stop_signals
from penstock.cli.supervisor import SERVICES, Supervisor
from penstock.stream.probe import require_metadata

_ANSWER_S = 10.0
_COLOURS = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green")


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...", type=click.Choice(list(SERVICES)))
@click.pass_context
def run(ctx: click.Context, services: tuple[str, ...]) -> None:
    """Run services, all of them if none is named, until Ctrl-C.

    One process each. If one dies the rest are stopped. Ctrl-C, SIGTERM and the terminal's end drain; a second signal
    kills, and the exit code says so.
    """
    names = [name for name in SERVICES if not services or name in services]
    endpoints = resolve(ctx)
    require_metadata(endpoints.bootstrap_servers, _ANSWER_S)  # one sentence now instead of each service's later
    supervisor = Supervisor(endpoints.environment(), _print)
    ended = asyncio.run(_run(names, supervisor))
    if ended is not None:
        name, code = ended
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise NotSo(f"{name} {how}; the others were stopped")
    if supervisor.killed:
        raise NotSo(f"killed before they had drained: {', '.join(supervisor.killed)}; what was under way comes again")


async def _run(names: list[str], supervisor: Supervisor) -> tuple[str, int] | None:
    """None when stopped as asked, else who died and how."""
    stop = asyncio.Event()

    def signalled(number: signal.Signals) -> None:
        if stop.is_set() and is_insistent(number):
            supervisor.kill()
        stop.set()

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)
    try:
        await supervisor.start_services(names)
        asked, died = asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.ended())
        await asyncio.wait((asked, died), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if died.done() and not stop.is_set():
            return died.result()
        died.cancel()
        return None
    finally:
        await supervisor.stop()


def _print(name: str, line: str) -> None:
    colour = _COLOURS[list(SERVICES).index(name)] if name in SERVICES else "white"
    click.echo(f"{click.style(f'{name:<13}', fg=colour)} {line}")
