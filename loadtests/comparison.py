"""Contenders that take turns on one input: what they did, and how they compare within a turn.

Each run is a process of its own that reads the input from its start to its end as a fresh group. Rates are compared
within a turn, so that a busy neighbour hits all of them alike. After each run the output is read back: a contender
that lost, doubled or changed a record has no rate.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from loadtests import topics
from loadtests.contender import Job, Told

ROOT = Path(__file__).parents[1]
_LIMIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Contender:
    """`share` of the input is enough for a slow one: its rate does not change with the length."""

    name: str
    module: str
    python: str = sys.executable
    exactly_once: bool = True
    settled: bool = False
    share: float = 1.0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    per_s: float
    cpu_s_per_million: float
    waited: float
    """See `Told.waited`."""
    peak_mb: float
    headers: bool
    """Whether they were copied."""
    timestamps: bool
    fingerprint_bytes: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def rate_ratios(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Turn by turn."""
    return spread([mine.per_s / its.per_s for mine, its in zip(runs, others, strict=True)])


def cpu_ratios(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Turn by turn. What a busy machine leaves of a rate is luck; what a record costs is not."""
    pairs = zip(runs, others, strict=True)
    return spread([mine.cpu_s_per_million / its.cpu_s_per_million for mine, its in pairs])


def turns_of(contenders: Sequence[Contender], turn: int) -> list[Contender]:
    """In another order each turn, so that no one always comes after the same."""
    start = turn % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def compare(
    bootstrap_servers: str, contenders: Sequence[Contender], records: int, size_bytes: int, turns: int
) -> dict[str, list[Run]]:
    """Name to its runs, one for each turn."""
    inputs: dict[int, tuple[str, topics.Content]] = {}
    for length in {int(records * contender.share) for contender in contenders}:
        source = f"load-{uuid4().hex[:8]}-{size_bytes}-{length}"
        topics.create(bootstrap_servers, source)
        topics.fill(bootstrap_servers, source, length, size_bytes)
        inputs[length] = source, topics.content(bootstrap_servers, source)
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for turn in range(turns):
        for contender in turns_of(contenders, turn):
            source, wanted = inputs[int(records * contender.share)]
            run = _run(bootstrap_servers, contender, source, wanted)
            runs[contender.name].append(run)
            said = f"{run.per_s:,.0f}/s, {run.cpu_s_per_million:.1f} CPU s per million"
            print(f"{size_bytes} B, turn {turn + 1}, {contender.name}: {said}", file=sys.stderr, flush=True)
    topics.delete(bootstrap_servers, *(source for source, _ in inputs.values()))
    return runs


def _run(bootstrap_servers: str, contender: Contender, source: str, wanted: topics.Content) -> Run:
    name = f"load-{contender.module.rpartition('.')[2]}-{uuid4().hex[:8]}"
    job = Job(
        bootstrap_servers,
        source,
        target=f"{name}.out",
        records=wanted.records,
        name=name,
        exactly_once=contender.exactly_once,
        settled=contender.settled,
        seen=contender.seen,
    )
    topics.create(bootstrap_servers, job.target)
    topics.start_at_0(job)
    told = _in_a_process(contender, job)
    found = topics.content(bootstrap_servers, job.target)
    topics.delete(bootstrap_servers, job.target)
    if (found.records, found.pairs) != (wanted.records, wanted.pairs):
        sys.exit(f"{contender.name} was given {wanted.records} records and left {found.records}, not all as they were")
    return Run(
        per_s=wanted.records / told.took_s,
        cpu_s_per_million=told.cpu_s / wanted.records * 1e6,
        waited=told.waited,
        peak_mb=told.peak_mb,
        headers=found.headers == wanted.headers,
        timestamps=found.timestamps == wanted.timestamps,
        fingerprint_bytes=told.fingerprint_bytes,
    )


def _in_a_process(contender: Contender, job: Job) -> Told:
    command = [contender.python, "-m", contender.module, json.dumps(asdict(job))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    if done.returncode != 0:
        sys.exit(f"{contender.name} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return Told(**json.loads(done.stdout.strip().splitlines()[-1]))
