"""Memory of a stage whose output stands still, on real Kafka.

    python -m loadtests.stalled_output [--records 1000000] [--size 1000] [--stall 60] [--json FILE]

A copying stage in a process of its own reads a full topic of three replicas, one of whose brokers is dead. In the
middle of it the output topic is told to want all three in sync, so that every write is refused, while reading goes on
as before; after a while it is told to be content with two. The process's resident memory is looked at all the time:
it has to be bounded. In the end the copy must be the original.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported, untyped
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from loadtests import report, telling, topics
from loadtests.contender import Job
from loadtests.copy_stage import Copy
from loadtests.report import Target
from penstock.clock import SystemClock
from penstock.local.state import StateFile, kafka_parts
from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import Outcome
from penstock.stream.settings import LoopSettings

_LOOK_EVERY_S = 0.2
_PATIENCE_S = 300.0
_NODES = 3
_STAGE = "--stage"


# -- the stage: a process of its own -------------------------------------------------------------------------------


class _Meter(Meter):
    """Tells how each transaction ended, and how many records were committed in all."""

    _open = _committed = 0

    def took(self, records: int, *rest: Any) -> None:
        super().took(records, *rest)
        self._open += records

    def ended(self, outcome: Outcome, took_s: float) -> None:
        super().ended(outcome, took_s)
        if outcome is Outcome.COMMITTED:
            self._committed += self._open
        if outcome is not Outcome.UNKNOWN:
            self._open = 0
        telling.tell(outcome=outcome.value, committed=self._committed)


async def _run(servers: str, name: str) -> None:
    clock = SystemClock()
    broker = KafkaBroker(ClientSettings(servers, name, (f"{name}.in",), name))
    letters, meter = DeadLetters(name, lambda _: b"", {}, clock), _Meter(name, Metrics(), clock)
    await telling.run(Loop(broker, Copy(f"{name}.out"), letters, LoopSettings(name), clock, meter))


class Stage:
    """The process, what it told, and its memory."""

    def __init__(self, servers: str, name: str) -> None:
        self.committed = 0
        self.ended: Counter[str] = Counter()
        """Transactions, by how they ended."""
        self._process = telling.Telling("loadtests.stalled_output", _STAGE, servers, name, hear=self._hear)
        self._memory = psutil.Process(self._process.pid)

    def peak_mb(self, until: Callable[[], bool]) -> float:
        """The most resident memory there was, looking until the condition holds."""
        peak_bytes, give_up_s = 0, time.monotonic() + _PATIENCE_S
        while True:
            peak_bytes = max(peak_bytes, self._memory.memory_info().rss)
            if until():
                return peak_bytes / 2**20
            if time.monotonic() > give_up_s or not self._process.runs:
                raise SystemExit(f"nothing came of it within {_PATIENCE_S:.0f} s; {self.committed:,} are committed")
            time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def _hear(self, told: Mapping[str, Any]) -> None:
        self.committed = told["committed"]
        self.ended[told["outcome"]] += 1


# -- the measurement -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """Resident memory in MB: the most while the output flowed, while it stood still, and once it flowed again."""

    before_mb: float
    stalled_mb: float
    after_mb: float
    refused: int
    """Transactions that were not committed by the end of that."""
    copied: bool
    """The copy is the original, each record once."""


def measure(data: Path, records: int, size_bytes: int, stall_s: float) -> Found:
    servers, name = topics.servers_of(data), f"stalled-{uuid4().hex[:8]}"
    source, target = f"{name}.in", f"{name}.out"
    topics.create(servers, source, target, replicas=_NODES)
    topics.fill(servers, source, records, size_bytes)
    _kill_a_broker(data)
    topics.start_at_0(Job(servers, source, target, records, name, exactly_once=True))
    stage = Stage(servers, name)
    try:
        before_mb = stage.peak_mb(lambda: stage.committed > records // 5)
        _wants_replicas(servers, target, _NODES)
        until_s = time.monotonic() + stall_s
        stalled_mb = stage.peak_mb(lambda: time.monotonic() > until_s)
        refused = stage.ended.total() - stage.ended[Outcome.COMMITTED.value]
        if stage.committed >= records:
            raise SystemExit("all was copied before the output was stalled: take more --records")
        _wants_replicas(servers, target, _NODES - 1)
        after_mb = stage.peak_mb(lambda: stage.committed >= records)
        stage.stop()
    finally:
        stage.kill()
    copied = topics.content(servers, target) == topics.content(servers, source)
    topics.delete(servers, source, target)
    return Found(before_mb, stalled_mb, after_mb, refused, copied)


def _kill_a_broker(data: Path) -> None:
    state = StateFile(data).read()
    assert state is not None
    os.kill(state.running[kafka_parts(_NODES)[-1]].pid, signal.SIGKILL)


def _wants_replicas(servers: str, topic: str, count: int) -> None:
    """With more than are in sync, every write to the topic is refused; what is there can still be read. A broker does
    not ask for more than the topic has, hence the dead one.
    """
    entry = ConfigEntry("min.insync.replicas", str(count), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": servers})  # ends what is under way when nobody holds it any more
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def main() -> None:
    if sys.argv[1:2] == [_STAGE]:
        asyncio.run(_run(*sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="(default 1000000)")
    parser.add_argument("--size", type=int, default=1000, help="of the values, in bytes (default 1000)")
    parser.add_argument("--stall", type=float, default=60.0, help="seconds (default 60)")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    chosen = parser.parse_args()
    with topics.stack(None, _NODES) as data:
        found = measure(data, chosen.records, chosen.size, chosen.stall)
    print(
        f"{chosen.size} B: most resident memory {found.before_mb:.0f} MB while it flowed, {found.stalled_mb:.0f} MB in"
        f" {chosen.stall:.0f} s of standing still ({found.refused} transactions refused), {found.after_mb:.0f} MB"
        f" after; the copy is {'whole' if found.copied else 'NOT whole'}"
    )
    targets = [Target("memory while stalled, of that while it flowed", found.stalled_mb / found.before_mb, below=1.5)]
    report.show_targets(targets)
    report.write(chosen.json, {"machine": report.machine(), "found": asdict(found)}, targets)


if __name__ == "__main__":
    main()
