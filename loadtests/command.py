"""The figures of docs/performance.md:

    python -m loadtests copy      the runtime's own cost: a stage that copies, against the bare confluent-kafka loop
    python -m loadtests dedup     dedup with 10 million fingerprints in its window, against the same
    python -m loadtests peers     the same copying by Quix Streams, Bytewax and faust-streaming
    python -m loadtests profile   where the time of copying stage and dedup goes, line by line
    python -m loadtests latency   from POST /events to the WebSocket, idle and at half load; CPU per event and process

Each prints a table; --json FILE keeps every run of it. Without --data a stack is started for the measurement alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests import latency, report, topics
from loadtests import profile as profiles
from loadtests.comparison import Contender, Run, compare, rate_ratios
from loadtests.environments import python_of
from loadtests.report import Target

BARE = Contender("bare", "loadtests.bare")
SETTLED = Contender("bare, collector settled", "loadtests.bare", settled=True)
STAGE = Contender("penstock", "loadtests.copy_stage")
_SLOW = 0.05
"""The share of the input that faust-streaming copies."""


def main() -> None:
    chosen = _arguments().parse_args()
    chosen.run(chosen)


def copy(chosen: argparse.Namespace) -> None:
    def targets(size: int, runs: dict[str, list[Run]]) -> list[Target]:
        return [_of_bare(f"copy, {size} B", runs, "penstock", 0.9)]

    _measure(chosen, [BARE, SETTLED, STAGE], targets)


def dedup(chosen: argparse.Namespace) -> None:
    def targets(size: int, runs: dict[str, list[Run]]) -> list[Target]:
        held = max(run.fingerprint_bytes or 0.0 for run in runs["dedup"])
        return [
            _of_bare(f"dedup, {size} B", runs, "dedup", 0.8),
            Target(f"dedup, {size} B, bytes per fingerprint", held, below=64.0),
        ]

    _measure(chosen, [BARE, SETTLED, _dedup(chosen)], targets)


def peers(chosen: argparse.Namespace) -> None:
    def targets(size: int, runs: dict[str, list[Run]]) -> list[Target]:
        of_quix = rate_ratios(runs["penstock"], runs["quix"]).median
        return [
            _of_bare(f"copy, {size} B", runs, "penstock", 0.9),
            Target(f"copy, {size} B, of Quix Streams exactly once", of_quix, at_least=2.0),
        ]

    quix, bytewax, faust = (python_of(peer) for peer in ("quix", "bytewax", "faust"))
    contenders = [
        BARE,
        SETTLED,
        STAGE,
        Contender("quix", "loadtests.peers.quix", quix),
        Contender("faust", "loadtests.peers.faust", faust, share=_SLOW),
        Contender("bare, at least once", "loadtests.bare", exactly_once=False),
        Contender("quix, at least once", "loadtests.peers.quix", quix, exactly_once=False),
        Contender("bytewax, at least once", "loadtests.peers.bytewax", bytewax, exactly_once=False),
        Contender("faust, at least once", "loadtests.peers.faust", faust, exactly_once=False, share=_SLOW),
    ]
    _measure(chosen, contenders, targets)


def profile(chosen: argparse.Namespace) -> None:
    profiles.profile(chosen, [STAGE, _dedup(chosen)])


def _dedup(chosen: argparse.Namespace) -> Contender:
    return Contender("dedup", "loadtests.dedup", seen=chosen.seen)


def _measure(chosen: argparse.Namespace, contenders: Sequence[Contender], targets: Any) -> None:
    told: dict[str, Any] = {"records": chosen.records, "turns": chosen.turns, "machine": report.machine(), "sizes": {}}
    judged: list[Target] = []
    with topics.stack(chosen.data) as data:
        for size in chosen.sizes:
            runs = compare(topics.servers_of(data), contenders, chosen.records, size, chosen.turns)
            title = f"{size} B, {chosen.records:,} records a run, {chosen.turns} turns: median (least to most)"
            report.show_runs(title, runs, BARE.name)
            told["sizes"][size] = report.runs_as_json(runs, BARE.name)
            judged += targets(size, runs)
            report.write(chosen.json, told, judged)
    report.show_targets(judged)


def _of_bare(what: str, runs: dict[str, list[Run]], name: str, at_least: float) -> Target:
    return Target(f"{what}, of the bare loop", rate_ratios(runs[name], runs[BARE.name]).median, at_least=at_least)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="copy | dedup | latency | peers | profile")
    for run in (copy, dedup, peers, profile):
        command = _command(commands, run)
        command.add_argument("--records", type=int, default=100_000, help="of each size (default 100000)")
        command.add_argument("--sizes", type=int, nargs="+", default=[100, 500, 2000], help="of the values, in bytes")
    for run in (dedup, profile):
        seen = commands.choices[run.__name__]
        seen.add_argument("--seen", type=int, default=10_000_000, help="fingerprints in the window")
    commands.choices["profile"].set_defaults(records=300_000, sizes=[500])
    command = _command(commands, latency.measure)
    command.add_argument("--seconds", type=float, default=20.0, help="of each load in each turn (default 20)")
    command.add_argument(
        "--events", type=int, default=5_000, help="how many find the most that goes, each turn (default 5000)"
    )
    command.add_argument("--bulk", type=int, default=20_000, help="how many show what one costs (default 20000)")
    command.add_argument("--idle", type=float, default=10.0, help="events a second that count as idle (default 10)")
    command.add_argument("--per-request", type=int, default=10, help="events in one POST under load (default 10)")
    return parser


def _command(commands: Any, run: Any) -> argparse.ArgumentParser:
    name = "latency" if run is latency.measure else run.__name__
    made: argparse.ArgumentParser = commands.add_parser(name)
    made.set_defaults(run=run)
    made.add_argument("--data", type=Path, help="folder of a running stack; without it one is started for this run")
    made.add_argument("--turns", type=int, default=5, help="how often each is measured (default 5)")
    made.add_argument("--json", type=Path, help="file that gets every run")
    return made
