"""`penstock publish` and `consume`, `topics` and `schemas` as a person runs them, on a real stack."""

import json
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.conftest import RunningStack

pytestmark = pytest.mark.integration


def penstock(stack: RunningStack, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli", "--data", stack.data, *words],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def shown(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def topic(stack: RunningStack) -> Iterator[str]:
    name = f"consume-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1)])[name].result(20)
    yield name
    admin.delete_topics([name])[name].exception()


def test_what_is_published_can_be_consumed_and_bad_lines_are_named(stack: RunningStack) -> None:
    own = uuid.uuid4().hex
    event = {"id": own, "source": "mine", "kind": "post", "occurred_at": 1_420_070_400_000, "text": "\x1b[2J世界"}
    done = penstock(stack, "publish", "-", given=f"{json.dumps(event)}\nnope\n")
    assert (done.returncode, done.stdout) == (1, "1 published\n")
    assert "line 2: not-json" in done.stderr
    read = penstock(stack, "consume", "events.inbox", "-n", "100000")
    (record,) = [record for record in shown(read) if record["key"] == f"mine:{own}"]
    assert record["value"]["text"] == event["text"]
    assert "\\u001b[2J世界" in read.stdout


def test_only_committed_records_are_shown_and_what_is_not_avro_too(stack: RunningStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(20)
    for value, end in ((b"rolled back", producer.abort_transaction), (b"\xffkept", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, b"\x00\x01", headers=[("uid", b"abc"), ("source", b"mine")])
        producer.flush(20)
        end(20)
    (record,) = shown(penstock(stack, "consume", topic))
    assert record["value"] == b"\xffkept".hex()
    assert record["not_decoded"].startswith("bad-magic")
    assert record["key"] == "0001"
    assert record["headers"] == [["uid", "616263"], ["source", "mine"]]


def test_waiting_for_what_comes_goes_on_until_ctrl_c_and_ends_well(stack: RunningStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    words = [sys.executable, "-m", "penstock.cli", "--data", str(stack.data), "consume", topic, "-o", "end", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while not select.select([process.stdout], [], [], 0.2)[0]:  # it does not say when it has found the end
            producer.produce(topic, b"late")
            producer.flush(20)
        assert json.loads(process.stdout.readline())["value"] == b"late".hex()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_no_more_records_than_asked_for_are_shown(stack: RunningStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number in range(25):
        producer.produce(topic, str(number).encode())
    assert producer.flush(20) == 0
    assert [record["offset"] for record in shown(penstock(stack, "consume", topic))] == list(range(10))
    assert len(shown(penstock(stack, "consume", topic, "-n", "30"))) == 25


def test_consuming_from_the_end_waits_for_what_comes(stack: RunningStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(topic, b"before")
    assert producer.flush(20) == 0
    waiting = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "--data", stack.data, "consume", topic, "-n", "1", "-o", "end"],
        stdout=subprocess.PIPE,
        text=True,
    )
    number = 0
    while waiting.poll() is None:  # it is not known when it has looked where the end is
        number += 1
        producer.produce(topic, f"after {number}".encode())
        producer.flush(20)
        try:
            waiting.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert waiting.stdout is not None
    (line,) = waiting.stdout.read().splitlines()
    waiting.stdout.close()
    assert bytes.fromhex(json.loads(line)["value"]).startswith(b"after")


def test_a_topic_that_is_not_there_is_said_without_a_traceback(stack: RunningStack) -> None:
    done = penstock(stack, "consume", "nothing.here")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: ")
    assert "nothing.here" in done.stderr
    assert done.stderr.count("\n") == 1


def test_topics_and_schemas_are_listed_described_and_checked(stack: RunningStack) -> None:
    listed = json.loads(penstock(stack, "topics", "list", "--json").stdout)["topics"]
    assert {row["name"] for row in listed} >= {"events.raw", "dlq.enrich"}
    assert all(row["partitions"] for row in listed)
    described = json.loads(penstock(stack, "topics", "describe", "events.raw", "--json").stdout)
    assert described["settings"]["message.timestamp.after.max.ms"] == "150000"
    assert list(described["groups"]) == ["penstock.dedup"]
    assert None not in described["groups"]["penstock.dedup"].values()
    assert penstock(stack, "schemas", "check").returncode == 0
    assert penstock(stack, "schemas", "register").returncode == 0
    assert penstock(stack, "topics", "describe", "nothing").returncode == 2
