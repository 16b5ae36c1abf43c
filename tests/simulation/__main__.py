"""`python -m tests.simulation`: many runs, or one again; scripts/simulate is the door to it."""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections import Counter

import structlog

from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import SCENARIOS, Result, shrink, simulate

COMMAND = "scripts/simulate"
MOST_FAILURES = 10


def main() -> int:
    options = parse()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets are iterated in the order of their hashes: a run repeats only under the same ones.
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        return subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode
    if options.mutant is not None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        names = sorted(MUTANTS) if options.mutant == "all" else [options.mutant]
        return max([hunt(name, options.runs) for name in names])
    if options.seed is None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        return many(options)
    if options.shrink:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        return report_one(shrink(options.scenario, options.seed))
    structlog.configure(processors=[structlog.processors.LogfmtRenderer(key_order=["event"])])  # no time of ours
    keep = None if options.keep is None else {int(number) for number in options.keep.split(",") if number}
    return report_one(simulate(options.scenario, options.seed, keep, trace=say))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Deterministic simulation of the runtime under faults.")
    parser.add_argument("--scenario", choices=["all", *SCENARIOS], default="all", help="all: in turns")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--minutes", type=float, help="go on for that long, whatever --runs says")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed to begin with")
    parser.add_argument("--seed", type=int, help="only this run, told step by step")
    parser.add_argument("--keep", metavar="N,N", help="with --seed: only these of its faults")
    parser.add_argument("--shrink", action="store_true", help="with --seed: find the fewest faults that still fail")
    parser.add_argument("--mutant", choices=["all", *sorted(MUTANTS)], help="exit 0 if --runs runs catch it")
    options = parser.parse_args()
    if options.seed is not None and options.scenario == "all":
        options.scenario = list(SCENARIOS)[options.seed % len(SCENARIOS)]
    return options


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def replay(result: Result) -> str:
    """The command that repeats this run."""
    kept = ",".join(str(fault.number) for fault in result.faults)
    return f"{COMMAND} --scenario {result.scenario} --seed {result.seed} --keep {kept!r}"


def report_one(result: Result) -> int:
    for fault in result.faults:
        say(fault)
    say(result.error or "all promises kept")
    say(f"again: {replay(result)}")
    return 1 if result.error else 0


def many(options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    struck: Counter[str] = Counter()
    failures, seed, simulated_s = 0, options.first, 0.0
    scenarios = list(SCENARIOS) if options.scenario == "all" else [options.scenario]
    while failures < MOST_FAILURES and (
        time.monotonic() - started_s < options.minutes * 60 if options.minutes else seed < options.first + options.runs
    ):
        result = simulate(scenarios[seed % len(scenarios)], seed)
        struck.update(result.struck)
        simulated_s += result.simulated_s
        if result.error:
            failures += 1
            say(f"seed {seed}: {result.error}\n  again:  {replay(result)}\n  smaller: {replay(result)} --shrink")
        seed += 1
    for name, count in sorted(struck.items(), key=lambda item: (-item[1], item[0])):
        say(f"{count:8,} {name}")
    say(
        f"{seed - options.first:,} runs of {options.scenario} in {time.monotonic() - started_s:.0f} s "
        f"({time.process_time():.0f} s of CPU): {simulated_s / 3600:.1f} hours simulated, {struck.total():,} faults of "
        f"{len(struck)} kinds, {failures} runs failed"
    )
    return 1 if failures else 0


def hunt(name: str, runs: int) -> int:
    mutant = MUTANTS[name]
    for seed in range(runs):
        result = simulate(mutant.scenario, seed, built=mutant.built)
        if result.error:
            say(f"{name}: caught by seed {seed}, without {mutant.without}: {result.error}")
            return 0
    say(f"{name}: NOT caught in {runs} runs, without {mutant.without}")
    return 1


sys.exit(main())
