"""What a change of the number of instances costs: 1 to 3 to 1 under load, on real Kafka.

    python -m loadtests.scaling [--data FOLDER] [--turns 3] [--per-s 1000] [--settle 8] [--json FILE]

Dedup, with its changelog, in processes of their own, on 8 partitions that are written to without a break. A reader of
what comes out notes, per partition, the longest time without a record around each change; who held which partition
when, the instances say. A partition is kept if one instance held it all the while, moved if not. In the end every
record must have come out once. Targets: kept partitions pause < 1 s, moved ones < 2 heartbeats + restore.
"""

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from loadtests import report, telling, topics
from loadtests.contender import Job
from loadtests.report import Target
from loadtests.topics import PARTITIONS
from penstock.stream import kafka_config

HEARTBEAT_S = 1.5
"""Of the embedded stack's groups."""
_PATIENCE_S = 120.0


# -- an instance --------------------------------------------------------------------------------------------------

History = list[tuple[float, frozenset[int]]]
"""Partitions, from a time on; the first entry is from before all times."""


def held_since(history: History, from_s: float) -> frozenset[int]:
    """What was held at any moment since then."""
    at_first = max(index for index, (at_s, _) in enumerate(history) if at_s <= from_s)
    return frozenset[int]().union(*(held for _, held in history[at_first:]))


class Instance:
    """One process, and when it held what."""

    def __init__(self, servers: str, name: str, slot: int) -> None:
        self._history: History = [(float("-inf"), frozenset())]
        self.share = 0
        """How many partitions it is at work on."""
        self._process = telling.Telling("loadtests.dedup_instance", servers, name, str(slot), hear=self._hear)

    def held_since(self, from_s: float) -> frozenset[int]:
        return held_since(self._history, from_s)

    def leave(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def _hear(self, told: Mapping[str, Any]) -> None:
        self._history.append((told["at_s"], frozenset(told["held"])))
        self.share = len(told["held"]) if told["ready"] else 0


# -- what goes in and comes out ------------------------------------------------------------------------------------


class Flow:
    """Writes records at a steady rate until told to stop, and notes when each comes out, in two threads."""

    def __init__(self, servers: str, name: str, per_s: float) -> None:
        self._servers, self._name, self._per_s = servers, name, per_s
        self.written = 0
        self.seen: Counter[bytes] = Counter()
        self.arrivals: list[list[float]] = [[] for _ in range(PARTITIONS)]
        self._no_more, self._enough = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def drain(self) -> None:
        """Stops writing, and waits until all has come out."""
        self._no_more.set()
        self._threads[0].join()
        give_up_s = time.monotonic() + _PATIENCE_S
        while len(self.seen) < self.written and time.monotonic() < give_up_s:
            time.sleep(0.1)
        time.sleep(2.0)  # for what should not come
        self._enough.set()
        self._threads[1].join()

    def _write(self) -> None:
        producer = Producer(kafka_config.producer(self._servers, f"{self._name}.writer"))
        started_s = time.monotonic()
        for number in count():
            if self._no_more.is_set():
                break
            time.sleep(max(0.0, started_s + number / self._per_s - time.monotonic()))
            headers: list[tuple[str, str | bytes | None]] = [
                ("uid", os.urandom(16)),
                ("source", b"scaling"),
                ("fingerprint-version", b"1"),
            ]
            now_ms = time.time_ns() // 1_000_000
            producer.produce(f"{self._name}.in", b"%d" % number, os.urandom(16), headers=headers, timestamp=now_ms)
            producer.poll(0)
            self.written = number + 1
        assert producer.flush(_PATIENCE_S) == 0

    def _read(self) -> None:
        consumer = Consumer(kafka_config.reader(self._servers, f"{self._name}.reader"))
        consumer.assign([KafkaPartition(f"{self._name}.out", partition, 0) for partition in range(PARTITIONS)])
        while not self._enough.is_set():
            for message in consumer.consume(1000, 0.02):
                if message.error() is None:
                    self.seen[message.value() or b""] += 1
                    self.arrivals[message.partition() or 0].append(time.monotonic())
        consumer.close()


def longest_pause_s(arrivals: Sequence[float], from_s: float, now_s: float) -> float:
    """Without a record, of the pauses that end after `from_s`, or have not ended yet."""
    pauses = (after - before for before, after in pairwise([*arrivals, now_s]) if after >= from_s)
    return max(pauses, default=float("inf"))


# -- the measurement -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the number of instances; pauses in seconds, of the partition that paused longest."""

    step: str
    kept: int
    kept_pause_s: float
    moved: int
    moved_pause_s: float
    took_s: float
    """Until every partition was held, restored and running again."""

    def __str__(self) -> str:
        kept, moved = (
            f"{self.kept} kept: {self.kept_pause_s:5.2f} s",
            f"{self.moved} moved: {self.moved_pause_s:5.2f} s",
        )
        return f"{self.step:7} {kept}  {moved}  settled after {self.took_s:5.2f} s"


@dataclass(frozen=True, slots=True)
class Turn:
    changes: Sequence[Change]
    written: int
    lost: int
    doubled: int


def measure(servers: str, per_s: float, settle_s: float) -> Turn:
    name = f"scaling-{uuid4().hex[:8]}"
    own = [f"{name}.{what}" for what in ("in", "out", "seen", "duplicates", "late")]
    topics.create(servers, *own)
    topics.start_at_0(Job(servers, own[0], own[1], 0, name, exactly_once=True))
    first, others = Instance(servers, name, 0), list[Instance]()
    try:
        _until(lambda: _share_evenly([first]))
        flow = Flow(servers, name, per_s)
        time.sleep(settle_s)

        def judged(step: str, running: Sequence[Instance], began_s: float) -> Change:
            _until(lambda: _share_evenly(running))
            took_s = time.monotonic() - began_s
            time.sleep(settle_s)
            return _judge(step, flow, [first, *others], began_s, took_s)

        changes = [judged("none", [first], time.monotonic())]
        began_s = time.monotonic()
        others += [Instance(servers, name, slot) for slot in (1, 2)]
        changes.append(judged("1 to 3", [first, *others], began_s))
        began_s = time.monotonic()
        for instance in others:
            instance.leave()
        changes.append(judged("3 to 1", [first], began_s))
        flow.drain()
        first.leave()
    finally:
        for instance in (first, *others):
            instance.kill()
    topics.delete(servers, *own)
    doubled = sum(times - 1 for times in flow.seen.values())
    return Turn(changes, flow.written, flow.written - len(flow.seen), doubled)


def _share_evenly(instances: Sequence[Instance]) -> bool:
    shares = [instance.share for instance in instances]
    return sum(shares) == PARTITIONS and max(shares) - min(shares) <= 1


def _judge(step: str, flow: Flow, instances: Sequence[Instance], began_s: float, took_s: float) -> Change:
    holders = Counter(partition for instance in instances for partition in instance.held_since(began_s))
    pauses: dict[bool, list[float]] = {True: [], False: []}
    for partition in range(PARTITIONS):
        pause_s = longest_pause_s(flow.arrivals[partition], began_s, time.monotonic())
        pauses[holders[partition] > 1].append(pause_s)
    kept, moved = pauses[False], pauses[True]
    return Change(step, len(kept), max(kept, default=0.0), len(moved), max(moved, default=0.0), took_s)


def _until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > give_up_s:
            raise SystemExit(f"the group did not settle within {_PATIENCE_S:.0f} s")
        time.sleep(0.02)


def _targets(turns: Sequence[Turn]) -> list[Target]:
    real = [change for turn in turns for change in turn.changes if change.step != "none"]
    kept_s, moved_s = max(one.kept_pause_s for one in real), max(one.moved_pause_s for one in real)
    return [
        Target("kept partitions, longest pause, s", kept_s, below=1.0),
        Target("moved partitions, longest pause, s", moved_s, below=2 * HEARTBEAT_S),
        Target("records lost or doubled", sum(turn.lost + turn.doubled for turn in turns), below=1.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a running stack; without it one is started for this run")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--per-s", type=float, default=1000, help="records a second (default 1000)")
    parser.add_argument("--settle", type=float, default=8.0, help="seconds between the changes (default 8)")
    parser.add_argument("--json", type=Path, help="file that gets every turn")
    chosen = parser.parse_args()
    turns: list[Turn] = []
    with topics.stack(chosen.data) as data:
        for number in range(1, chosen.turns + 1):
            turns.append(turn := measure(topics.servers_of(data), chosen.per_s, chosen.settle))
            for told in (*turn.changes, f"{turn.written:,} written, {turn.lost} lost, {turn.doubled} doubled"):
                print(f"turn {number}  {told}", flush=True)
    targets = _targets(turns)
    report.show_targets(targets)
    told = {"machine": report.machine(), "per_s": chosen.per_s, "turns": [asdict(turn) for turn in turns]}
    report.write(chosen.json, told, targets)


if __name__ == "__main__":
    main()
