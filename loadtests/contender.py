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
from typing import Literal

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
    settled: bool = False
    """Whether the bare loop settles the garbage collector as our services do (penstock/collector.py)."""
    seen: int = 0
    """How many fingerprints dedup holds before it starts."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a contender says of its own run, from the first record to the last commit.

    `cpu_s` is that of the whole process, the threads of its client included; imports and joining came before.
    """

    took_s: float
    cpu_s: float
    waited: float
    """The share of the time in which it had something to do that it waited for a core."""
    peak_mb: float
    fingerprint_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Seconds that threads ran, and that they could have run but had no core."""

    ran_s: float = 0.0
    waited_s: float = 0.0

    def __add__(self, other: "Scheduled") -> "Scheduled":
        return Scheduled(self.ran_s + other.ran_s, self.waited_s + other.waited_s)

    def waited_since(self, before: "Scheduled") -> float:
        """Share of the time between the two, 0 to 1; of no use, and maybe below 0, if threads ended in between."""
        waited_s = self.waited_s - before.waited_s
        ready_s = waited_s + self.ran_s - before.ran_s
        return waited_s / ready_s if ready_s > 0 else 0.0


def scheduled(pid: int | Literal["self"]) -> Scheduled:
    """Of all threads the process has now, by Linux' own count."""
    whole = Scheduled()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran_ns, waited_ns, _ = (thread / "schedstat").read_text().split()
        except FileNotFoundError:  # it ended in between
            continue
        whole += Scheduled(int(ran_ns) / 1e9, int(waited_ns) / 1e9)
    return whole


class Stopwatch:
    """Runs from the first record to the last commit."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._started_cpu_s = 0.0
        self._took_s = self._cpu_s = 0.0
        self._started_sched = self._stopped_sched = Scheduled()

    def start(self) -> None:
        if self._started_s is None:
            self._started_s, self._started_cpu_s = time.monotonic(), time.process_time()
            self._started_sched = scheduled("self")

    def stop(self) -> None:
        assert self._started_s is not None
        self._took_s = time.monotonic() - self._started_s
        self._cpu_s = time.process_time() - self._started_cpu_s
        self._stopped_sched = scheduled("self")

    def told(self, fingerprint_bytes: float | None = None) -> Told:
        return Told(
            self._took_s,
            self._cpu_s,
            self._stopped_sched.waited_since(self._started_sched),
            peak_mb(),
            fingerprint_bytes,
        )


def peak_mb() -> float:
    """The most memory this process held: what getrusage says of a child counts its parent's from before the exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def serve(run: Callable[[Job], Told]) -> None:
    """The whole of a contender's process."""
    print(json.dumps(asdict(run(Job(**json.loads(sys.argv[1]))))), flush=True)
