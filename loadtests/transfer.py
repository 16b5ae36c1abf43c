"""What the load tests between topics share: an input on real Kafka, the bare loop, and the interleaved comparison.

Every contender runs in a process of its own, reads the same input from its start to its end as a fresh group, and
says how many records a second went through, from the first record polled to the last commit. The contenders take
turns, and what is compared are medians of ratios within a turn, so that a busy neighbour hits all of them alike.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.stream import kafka_config
from penstock.stream.kafka_config import ClientSettings

PARTITIONS = 8
VALUE = os.urandom(250) * 2  # 500 bytes, of which compression spares half
COMMIT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one contender."""

    bootstrap_servers: str
    source: str
    target: str
    records: int
    name: str

    def settings(self) -> ClientSettings:
        return ClientSettings(self.bootstrap_servers, self.name, (self.source,), self.name)


@dataclass(frozen=True, slots=True)
class Went:
    per_s: float
    cpu_us: float
    """CPU of the process per record, the client's own threads included."""


class Stopwatch:
    """Runs from the first record to the last commit."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._cpu_s = 0.0

    def start(self) -> None:
        if self._started_s is None:
            self._started_s, self._cpu_s = time.monotonic(), time.process_time()

    def stop(self, records: int) -> Went:
        assert self._started_s is not None
        cpu_s = time.process_time() - self._cpu_s
        return Went(records / (time.monotonic() - self._started_s), cpu_s / records * 1e6)


def bare(job: Job) -> Went:
    """The least there is to copying exactly once: one thread, consume, produce, commit every 100 ms."""
    settings = job.settings()
    consumer = Consumer(kafka_config.consumer(settings) | {"auto.offset.reset": "earliest"})
    producer = Producer(kafka_config.transactional(settings))
    producer.init_transactions(30)
    consumer.subscribe([job.source])
    watch, done, began_s = Stopwatch(), 0, 0.0
    while done < job.records:
        messages = consumer.consume(5000, 0.05)
        if messages and began_s == 0.0:
            watch.start()
            producer.begin_transaction()
            began_s = time.monotonic()
        for message in messages:
            if message.error() is not None:
                continue
            while True:
                try:
                    producer.produce(
                        job.target,
                        message.value(),
                        message.key(),
                        headers=message.headers(),
                        timestamp=message.timestamp()[1],
                    )
                    break
                except BufferError:
                    producer.poll(0.01)
            done += 1
        producer.poll(0)
        if began_s and (time.monotonic() - began_s > COMMIT_EVERY_S or done >= job.records):
            positions = consumer.position(consumer.assignment())
            metadata = consumer.consumer_group_metadata()
            producer.send_offsets_to_transaction([p for p in positions if p.offset >= 0], metadata, 30)
            producer.commit_transaction(30)
            began_s = 0.0
    went = watch.stop(done)
    consumer.close()
    return went


def fill(bootstrap_servers: str, topic: str, records: int, keys: Callable[[int], bytes]) -> None:
    """The input: 500 bytes of value, the headers and the key as ingest writes them."""
    producer = Producer(kafka_config.producer(bootstrap_servers, "fill"))
    now_ms = time.time_ns() // 1_000_000
    for number in range(records):
        headers: list[tuple[str, str | bytes | None]] = [
            ("uid", os.urandom(16)),
            ("source", b"github"),
            ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("occurred-at", b"%d" % now_ms),
            ("fingerprint-version", b"1"),
        ]
        while True:
            try:
                producer.produce(topic, VALUE, keys(number), headers=headers, timestamp=now_ms + number // 1000)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def create(bootstrap_servers: str, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        made.result(30)


def delete(bootstrap_servers: str, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for gone in admin.delete_topics(list(topics)).values():
        gone.result(30)


def start_at_0(job: Job) -> None:
    """Gives the run's group its first offsets, as `penstock topics apply` would."""
    consumer = Consumer(kafka_config.reader(job.bootstrap_servers, job.name) | {"group.id": job.name})
    offsets = [KafkaPartition(job.source, partition, 0) for partition in range(PARTITIONS)]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


@contextmanager
def kafka(data: Path | None) -> Iterator[str]:
    """Bootstrap servers of the stack at `data`; without one, of a stack for this run alone."""
    with tempfile.TemporaryDirectory() as folder:
        at = data or Path(folder) / "data"
        penstock = [sys.executable, "-m", "penstock.cli", "--data", str(at)]
        subprocess.run([*penstock, "up"], check=True, stdout=subprocess.DEVNULL)
        try:
            yield str(json.loads((at / "stack.json").read_text())["bootstrap_servers"])
        finally:
            if data is None:
                subprocess.run([*penstock, "down", "--volumes"], check=True, stdout=subprocess.DEVNULL)


def run_alone(command: Sequence[str], contender: str, job: Job) -> Went:
    """One contender in a process of its own, which prints what `Went` holds."""
    words = [job.bootstrap_servers, job.source, job.target, str(job.records), job.name]
    done = subprocess.run([*command, "--contender", contender, *words], check=True, stdout=subprocess.PIPE, text=True)
    return Went(*json.loads(done.stdout.strip().splitlines()[-1]))


def compare(
    bootstrap_servers: str, source: str, records: int, repeats: int, contenders: Mapping[str, Sequence[str]]
) -> None:
    """Prints each contender's rate, and its ratio to the first one's of the same turn.

    Args:
        contenders: name to the command that runs it.
    """
    went: dict[str, list[Went]] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name, command in contenders.items():
            run = f"load-{name}-{uuid4().hex[:8]}"
            job = Job(bootstrap_servers, source, f"{run}.out", records, run)
            create(bootstrap_servers, job.target)
            start_at_0(job)
            went[name].append(run_alone(command, name, job))
            delete(bootstrap_servers, job.target)
            print(f"turn {turn + 1} {name}: {went[name][-1].per_s:,.0f}/s", file=sys.stderr)
    first = next(iter(contenders))
    print(f"\n{records:,} records a run, {repeats} turns, medians")
    for name, runs in went.items():
        ratios = [mine.per_s / its.per_s for mine, its in zip(runs, went[first], strict=True)]
        print(
            f"{name:10} {statistics.median(run.per_s for run in runs):10,.0f}/s"
            f"  {statistics.median(run.cpu_us for run in runs):6.2f} us of CPU a record"
            f"  {statistics.median(ratios):5.2f} of {first} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a running stack; without it one is started for this run")
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def here(module: str) -> list[str]:
    """The command that runs a contender which this module serves."""
    return [sys.executable, "-m", module]


def serve(contenders: Mapping[str, Callable[[Job], Went]]) -> bool:
    """In a contender's own process: runs it; False if this is not one."""
    if "--contender" not in sys.argv:
        return False
    name, servers, source, target, records, run = sys.argv[sys.argv.index("--contender") + 1 :]
    went = contenders[name](Job(servers, source, target, int(records), run))
    print(json.dumps([went.per_s, went.cpu_us]))
    return True
