"""What a contender is told and what it tells: the one module that runs in every peer's environment too.

So it needs nothing but the standard library. A contender is a process of its own: it gets a `Job` as its one argument
and prints what it measured as its last line.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

COMMIT_EVERY_S = 0.1
"""How often every contender commits what it copied."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one contender: copy `records` records from one topic to the other, as a fresh group."""

    bootstrap_servers: str
    source: str
    target: str
    records: int
    name: str
    exactly_once: bool
    seen: int = 0
    """How many fingerprints dedup holds before it starts."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a contender says of its own run, from the first record to the last commit.

    `cpu_s` is that of the whole process, the threads of its client included; imports and joining came before.
    """

    took_s: float
    cpu_s: float
    peak_mb: float
    fingerprint_bytes: float | None = None


class Stopwatch:
    """Runs from the first record to the last commit."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._started_cpu_s = 0.0
        self._took_s = self._cpu_s = 0.0

    def start(self) -> None:
        if self._started_s is None:
            self._started_s, self._started_cpu_s = time.monotonic(), time.process_time()

    def stop(self) -> None:
        assert self._started_s is not None
        self._took_s = time.monotonic() - self._started_s
        self._cpu_s = time.process_time() - self._started_cpu_s

    def told(self, fingerprint_bytes: float | None = None) -> Told:
        return Told(self._took_s, self._cpu_s, peak_mb(), fingerprint_bytes)


def peak_mb() -> float:
    """The most memory this process held: what getrusage says of a child counts its parent's from before the exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def serve(run: Callable[[Job], Told]) -> None:
    """The whole of a contender's process."""
    print(json.dumps(asdict(run(Job(**json.loads(sys.argv[1]))))), flush=True)
