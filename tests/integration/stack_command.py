"""`penstock` as a person runs it, and what its tests ask the parts."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import asyncpg
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from penstock.local.postgres_home import find_home
from penstock.local.process import start_mark
from penstock.local.state import State, StateFile


def penstock(data: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PENSTOCK_DATA": str(data)} | variables,
    )


def good(data: Path, *words: str) -> str:
    done = penstock(data, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def state_of(data: Path) -> State:
    state = StateFile(data).read()
    assert state is not None
    return state


def write_in_transaction(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    """Makes the topic, and commits the values to its one partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": f"test.{topic}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction(20)


def read_committed(bootstrap_servers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "test", "isolation.level": "read_committed"}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [message.value() for message in consumer.consume(count, timeout=20)]
    finally:
        consumer.close()


def register(schema_registry_url: str, subject: str) -> None:
    body = json.dumps({"schema": json.dumps({"type": "string"})}).encode()
    request = Request(  # noqa: S310  it is http
        f"{schema_registry_url}/subjects/{subject}/versions",
        body,
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urlopen(request, timeout=20) as response:  # noqa: S310  it is http
        assert response.status == 200


def subjects(schema_registry_url: str) -> list[str]:
    with urlopen(f"{schema_registry_url}/subjects", timeout=20) as response:  # noqa: S310  it is http
        found: list[str] = json.load(response)
        return found


def sql(dsn: str, statement: str) -> object:
    return asyncio.run(_sql(dsn, statement))


async def _sql(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def processes_that_mention(data: Path) -> list[str]:
    """Every part is started with a path of its own data, so this finds what stack.json may have forgotten."""
    homes = (str(data), str(find_home(data).folder))
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(home in line for home in homes) and start_mark(process.pid) and process.pid != os.getpid():
            found.append(line)
    return found
