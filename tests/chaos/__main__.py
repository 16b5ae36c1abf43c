"""`python -m tests.chaos`: a long run; scripts/chaos is the door to it."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import Campaign, Settings, say
from tests.chaos.report import Report

COMMAND = "scripts/chaos"


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="The whole system on real parts, under faults.")
    parser.add_argument("--minutes", type=float, help="how long faults go on; each happens once if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=3, help="Kafka brokers")
    parser.add_argument("--rate", type=float, default=60.0, metavar="N", help="events a second of the replays")
    parser.add_argument("--report", type=Path, metavar="FILE", help="append what was found, as Markdown")
    parser.add_argument("--folder", type=Path, help="for data and logs; a temporary one if not given")
    options = parser.parse_args()
    settings = Settings(options.seed, options.nodes, options.minutes, options.rate)
    with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(_until_told(Campaign(folder, settings)))
    told = report.markdown(_command(settings))
    sys.stdout.write(f"{told}\n")
    if options.report is not None:
        with options.report.open("a") as file:
            file.write(f"{told}\n")
    for ended in report.ended:
        say(f"{ended.name} ended by itself with code {ended.code}:\n{ended.log}")
    return 1 if report.problems else 0


def _command(settings: Settings) -> str:
    """What does the same once more; what is as usual is left out."""
    usual = Settings(settings.seed)
    words = [f"--minutes {settings.minutes:g}"] if settings.minutes else []
    words += [f"--seed {settings.seed}"]
    words += [f"--nodes {settings.nodes}"] if settings.nodes != usual.nodes else []
    words += [f"--rate {settings.rate_per_s:g}"] if settings.rate_per_s != usual.rate_per_s else []
    return " ".join([COMMAND, *words])


async def _until_told(campaign: Campaign) -> Report:
    """SIGTERM ends it like Ctrl-C: with nothing left behind."""
    running = asyncio.ensure_future(campaign.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


sys.exit(main())
