"""Inputs and outputs of the load tests on real Kafka: made, filled, read back and deleted."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported, untyped

from loadtests.contender import Job
from penstock.stream import kafka_config

PARTITIONS = 8
_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Content:
    """What a topic holds, whatever the order: sums of hashes, to be compared within this process only."""

    records: int = 0
    pairs: int = 0
    """Of key and value."""
    headers: int = 0
    timestamps: int = 0


def content(bootstrap_servers: str, topic: str) -> Content:
    """As a reader of committed records finds it."""
    consumer = Consumer(kafka_config.reader(bootstrap_servers, "content"))
    consumer.assign([KafkaPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    open_ones, give_up_s = PARTITIONS, time.monotonic() + _SILENCE_S
    records = pairs = headers = timestamps = 0
    while open_ones:
        for message in consumer.consume(5000, 0.1):
            give_up_s = time.monotonic() + _SILENCE_S
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  the client's public codes
                    raise KafkaException(error)
                open_ones -= 1
                continue
            key = message.key()
            records += 1
            pairs += hash((key, message.value()))
            headers += hash((key, tuple(message.headers() or ())))
            timestamps += hash((key, message.timestamp()[1]))
        assert time.monotonic() < give_up_s, f"{topic} has no end: a transaction stayed open"
    consumer.close()
    return Content(records, pairs, headers, timestamps)


def fill(bootstrap_servers: str, topic: str, records: int, size_bytes: int) -> None:
    """The input: values of which compression spares half, the headers and the key as ingest writes them."""
    producer = Producer(kafka_config.producer(bootstrap_servers, "fill"))
    value = (os.urandom(size_bytes - size_bytes // 2) * 2)[:size_bytes]
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
                producer.produce(topic, value, os.urandom(16), headers=headers, timestamp=now_ms + number // 1000)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(_SILENCE_S) == 0


def create(bootstrap_servers: str, *topics: str, replicas: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, replicas) for topic in topics]).values():
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
def stack(data: Path | None, nodes: int = 1) -> Iterator[Path]:
    """The data folder of a running stack: the one at `data`, else one that is there for this run alone."""
    with tempfile.TemporaryDirectory() as folder:
        at = data or Path(folder) / "data"
        penstock = [sys.executable, "-m", "penstock.cli", "--data", str(at)]
        fresh = ["--nodes", str(nodes)] if data is None else []  # one that is there keeps its own
        subprocess.run([*penstock, "up", *fresh], check=True, stdout=subprocess.DEVNULL)
        try:
            yield at
        finally:
            if data is None:
                subprocess.run([*penstock, "down", "--volumes"], check=True, stdout=subprocess.DEVNULL)


def servers_of(data: Path) -> str:
    return str(json.loads((data / "stack.json").read_text())["bootstrap_servers"])
