"""`python -m tests.simulation`: many runs, or one again; scripts/simulate is the door to it."""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import structlog

from tests.simulation import proof, report
from tests.simulation.faults import Fault
from tests.simulation.mutants import MUTANTS
from tests.simulation.report import COMMAND, Report
from tests.simulation.simulate import SCENARIOS, Result, faults_of, only, shrink, simulate
from tests.simulation.sweep import STRIKERS, WAYS, go_with, struck_by
from tests.simulation.work import SEEDS_AT_ONCE, Piece, all_of, seeds, sweeps

_MOST_FAILURES = 10


def main() -> int:
    options = parse()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets are iterated in the order of their hashes: a run repeats only under the same ones.
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        return subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode
    is_one = options.seed is not None or options.at is not None
    if is_one and not options.shrink:
        structlog.configure(processors=[structlog.processors.LogfmtRenderer(key_order=["event"])])  # no time of ours
    else:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return one(options) if is_one else many(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Deterministic simulation of the runtime under faults.")
    parser.add_argument("--scenario", choices=["all", *SCENARIOS], default="all", help="all: in turns")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--minutes", type=float, help="go on for that long, whatever --runs says")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed to begin with")
    parser.add_argument("--seed", type=int, help="only this run, told step by step")
    parser.add_argument("--keep", metavar="N,N", help="with --seed or --at: only these of its faults")
    parser.add_argument(
        "--shrink", action="store_true", help="with --seed or --at: find the fewest faults that fail so"
    )
    parser.add_argument("--way", choices=list(WAYS), help="strike one small run at every await, one after the other")
    parser.add_argument("--strike", choices=list(STRIKERS), default="kill", help="with --way and --at: by what")
    parser.add_argument("--at", type=int, metavar="N", help="with --way: only at this await, told step by step")
    parser.add_argument("--mutant", choices=["all", *MUTANTS], help="hunt it with --runs seeds; or run it with --seed")
    parser.add_argument("--prove", nargs="*", metavar="NAME", help="what scripts/test runs: all, or what is named")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processors to use")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came of it there too")
    options = parser.parse_args()
    if options.at is not None and not options.way:
        parser.error("--at goes with --way")
    if options.way and options.seed is not None:
        parser.error("--seed does not go with --way: a way has a seed of its own; name a place on it with --at")
    if (options.shrink or options.keep is not None) and options.seed is None and options.at is None:
        parser.error("--shrink and --keep go with --seed, or with --way and --at")
    if options.seed is not None and options.scenario == "all":
        names = list(SCENARIOS)
        options.scenario = MUTANTS[options.mutant].scenario if options.mutant else names[options.seed % len(names)]
    return options


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def kept(options: argparse.Namespace, faults: list[Fault]) -> list[Fault]:
    if options.keep is None:
        return faults
    return only(faults, {int(number) for number in options.keep.split(",") if number})


def one(options: argparse.Namespace) -> int:
    """A run told step by step; or shrunk, and only its end told."""
    built = MUTANTS[options.mutant].built if options.mutant else None
    trace = None if options.shrink else say
    if options.way:
        way = WAYS[options.way]
        planned = struck_by(way, options.strike, options.at)
        run: Callable[[Sequence[Fault]], Result] = partial(go_with, way, built=built, trace=trace)
        replay: Callable[..., str] = partial(report.replay_along, way, options.strike, options.at)
    else:
        planned = faults_of(options.scenario, options.seed)
        run = partial(simulate, options.scenario, options.seed, built=built, trace=trace)
        replay = report.replay
    faults = kept(options, planned)
    result = shrink(faults, run) if options.shrink else run(faults)
    for fault in result.faults:
        say(fault)
    say(result.error or "all promises kept")
    say(f"again: {replay(result, mutant=options.mutant)}")
    return 1 if result.error else 0


def many(options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    until_s = started_s + options.minutes * 60 if options.minutes else float("inf")
    reports: dict[str, Report] = {}
    for piece in all_of(pieces(options), options.jobs, until_s):
        for failure in piece.failures:
            say(f"{piece.name}: {failure}")
        if piece.caught:
            say(piece.caught)
        reports.setdefault(piece.name, Report(piece.name)).add(piece)
        if sum(len(one.failures) for one in reports.values()) >= _MOST_FAILURES:
            break
    if options.json:
        report.write(reports.values(), options.json)
    say("\n".join(report.told(reports.values(), time.monotonic() - started_s)))
    return 1 if any(one.failures for one in reports.values()) else 0


def pieces(options: argparse.Namespace) -> Iterable[Piece]:
    if options.prove is not None:
        return proof.pieces(options.prove or proof.NAMES)
    if options.mutant:
        names = list(MUTANTS) if options.mutant == "all" else [options.mutant]
        return [Piece(name, options.first, options.runs) for name in names]
    if options.way:
        return sweeps(options.way)
    return in_turns(options)


def in_turns(options: argparse.Namespace) -> Iterator[Piece]:
    """Some seeds of each scenario, then the next of each."""
    names = list(SCENARIOS) if options.scenario == "all" else [options.scenario]
    each = -(-options.runs // len(names))
    if not options.minutes:
        for name in names:
            yield from seeds(name, options.first, each)
        return
    for turn in count():
        for name in names:
            yield from seeds(name, options.first + turn * SEEDS_AT_ONCE, SEEDS_AT_ONCE)


sys.exit(main())
