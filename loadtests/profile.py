"""Where the time of a contender goes, line by line, by py-spy, which has an environment of its own."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from linecache import getline
from pathlib import Path
from uuid import uuid4

from rich.table import Table

from loadtests import report, topics
from loadtests.comparison import ROOT, Contender
from loadtests.contender import Job
from loadtests.environments import python_of

_RATE_PER_S = 500
_LINES = 12
_BEFORE = re.compile(r"importlib|Filled\._fill|^$")
"""Stacks from before the first record: imports, and the window that is filled."""
_WAITS = re.compile(r"^(_worker|_serve|Worker\._serve|EpollSelector\.select|Thread\._?\w+|_\w+_thread) ")
"""What a thread stands in while it has nothing to do."""
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*):(?P<line>\d+)\)$")


def profile(chosen: argparse.Namespace, contenders: Sequence[Contender]) -> None:
    spy = Path(python_of("profile")).with_name("py-spy")
    size = chosen.sizes[0]
    with topics.stack(chosen.data) as data, tempfile.TemporaryDirectory() as folder:
        servers, source = topics.servers_of(data), f"load-profile-{uuid4().hex[:8]}"
        topics.create(servers, source)
        topics.fill(servers, source, chosen.records, size)
        for contender in contenders:
            name = f"{source}-{contender.module}"
            job = Job(servers, source, f"{name}.out", chosen.records, name, contender.exactly_once, seen=contender.seen)
            topics.create(servers, job.target)
            topics.start_at_0(job)
            stacks = Path(folder) / name
            recording = [str(spy), "record", "--format", "raw", "--rate", str(_RATE_PER_S), "--output", str(stacks)]
            command = [*recording, "--", contender.python, "-m", contender.module, json.dumps(asdict(job))]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{contender.name} under py-spy ended with {done.returncode}:\n{done.stderr}{done.stdout}")
            topics.delete(servers, job.target)
            _show(f"{contender.name}, {size} B, {chosen.records:,} records", busiest(stacks.read_text().splitlines()))
        topics.delete(servers, source)


def busiest(stacks: Iterable[str]) -> list[tuple[float, str]]:
    """Share of the busy samples and innermost frame, the busiest first; `stacks` are py-spy's folded ones."""
    frames = Counter[str]()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        innermost = stack.rpartition(";")[2]
        if not _BEFORE.search(stack) and not _WAITS.match(innermost):
            frames[innermost] += int(count)
    return [(count / frames.total(), frame) for frame, count in frames.most_common()]


def _show(title: str, frames: Sequence[tuple[float, str]]) -> None:
    table = Table(title=f"{title}: share of the samples with something to do", title_justify="left", box=None)
    for heading in ("share", "where", "line"):
        table.add_column(heading, no_wrap=True)
    for share, frame in frames[:_LINES]:
        found = _FRAME.match(frame)
        text = getline(str(ROOT / found["file"]), int(found["line"])).strip() if found else ""
        table.add_row(f"{share:.0%}", frame, text)
    report.console().print(table, markup=False)
