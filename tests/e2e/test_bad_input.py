"""Bad input at every door and every hop of the whole system: refused where it says, nothing stops, nothing vanishes."""

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from penstock.schema import files
from penstock.schema.codec import Codec
from penstock.stream import kafka_config
from penstock.tracing import mint
from tests.contract.raw_produce import raw_produce
from tests.e2e.pipeline import ALL, Pipeline, pipeline
from tests.e2e.recording import SAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GOOD = {"source": "shop", "id": "1", "kind": "comment", "occurred_at": 1_700_000_000_000, "text": "Great service!"}
TRACE = mint(bytes(range(1, 25)))
KEY = bytes(range(16))

_MEASURED = b'{"source":"shop","id":"1","kind":"comment","occurred_at":0,"measures":{"x":%s}}'

AT_THE_HTTP_DOOR: dict[str, tuple[bytes, str, str | None]] = {
    "not JSON": (b"{no json", "not-json", None),
    "wrong types": (json.dumps(GOOD | {"text": 7}).encode(), "wrong-type", "text"),
    "missing id": (b'{"source":"shop","kind":"comment","occurred_at":0}', "missing-field", "id"),
    "year 0": (json.dumps(GOOD | {"occurred_at": "0000-01-01T00:00:00Z"}).encode(), "bad-time", "occurred_at"),
    "year 9999": (json.dumps(GOOD | {"occurred_at": "9999-12-31T23:59:59Z"}).encode(), "out-of-range", "occurred_at"),
    "NUL": (json.dumps(GOOD | {"text": "a\0b"}).encode(), "nul-character", "text"),
    "lone surrogate": (json.dumps(GOOD | {"text": "\ud800"}).encode(), "not-json", None),
    "5 MB of text": (json.dumps(GOOD | {"text": "x" * 5_000_000}).encode(), "too-large", "text"),
    "NaN": (_MEASURED % b"NaN", "not-json", None),
    "infinity": (_MEASURED % b"1e999", "not-json", None),
}
"""What is sent, the reason that the answer gives, and the field that it names."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline(tmp_path_factory.mktemp("bad")) as made:
        made.start("ingest", *ALL)
        yield made
        made.stop()  # with an exit code of 0: whatever came, nothing had stopped


def post(system: Pipeline, body: bytes) -> tuple[int, dict[str, Any]]:
    at = json.loads((system.data / "run" / "ingest.0.json").read_text())["api"]
    request = urllib.request.Request(f"{at}/events", body, {"traceparent": TRACE.decode()}, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  our own
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def event(number: int) -> dict[str, Any]:
    return {
        "id": f"shop:{number}", "source": "shop", "kind": "comment", "occurred_at": 1_700_000_000_000, "ingested_at": 0,
        "version": None, "author": None, "title": None, "text": "Great service!", "url": None,
        "stated_language": None, "location": None, "measures": {}, "attributes": {},
    }  # fmt: skip


def registered(system: Pipeline, subject: str, schema: dict[str, Any]) -> Codec:
    url = f"{system.environment['PENSTOCK_SCHEMA_REGISTRY_URL']}/subjects/{subject}/versions"
    body = json.dumps({"schema": json.dumps(schema, separators=(",", ":"))}).encode()
    kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=30) as answer:  # noqa: S310  our own
        return Codec(json.load(answer)["id"], schema)


def newer() -> dict[str, Any]:
    schema = files.latest("event")
    mood = {"name": "mood", "type": ["null", "string"], "default": None}
    return schema | {"fields": [*schema["fields"], mood]}


def dead(system: Pipeline, stage: str) -> Counter[str]:
    done = system.penstock("dlq", "list", "--stage", stage, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    letters = json.loads(done.stdout)
    return Counter(letter["reason"] for letter in letters)


@pytest.mark.parametrize("name", AT_THE_HTTP_DOOR)
def test_the_http_door_refuses_it_and_names_the_line(system: Pipeline, name: str) -> None:
    body, reason, field = AT_THE_HTTP_DOOR[name]
    status, answer = post(system, body)
    assert (status, answer["accepted"]) == (400, 0)
    (error,) = answer["errors"]
    assert (error["line"], error["field"], error["reason"].partition(":")[0]) == (1, field, reason)


def test_what_comes_by_kafka_is_refused_by_the_hop_it_meets_and_all_else_balances(system: Pipeline) -> None:
    good = registered(system, "events.inbox-value", files.latest("event"))
    known = good.encode(event(2))
    by_the_inbox = {
        "unknown-schema": b"\0" + (2**31 - 1).to_bytes(4, "big") + known[5:],
        "truncated": known[:-3],
        "bad-magic": b"\1" + known[1:],
        "empty-value": b"",
        "tombstone": None,
        "undecodable": known.replace(b"Great service!", b"Great \xff\xfe\xfd\xfc\xfb\xfa\xf9!"),
        "too-large": good.encode(event(4) | {"text": "x" * 5_000_000}),  # small only as long as it is compressed
    }
    newest = registered(system, "events.inbox-value", newer())
    servers = system.environment["PENSTOCK_BOOTSTRAP_SERVERS"]
    producer = Producer(kafka_config.producer(servers, "outside"))
    for value in by_the_inbox.values():
        producer.produce("events.inbox", value, b"any")
    producer.produce("events.inbox", known, b"any", headers=[("huge", b"h" * 500_000), ("none", None)])
    producer.produce("events.inbox", newest.encode(event(3) | {"mood": "fine"}), b"any")
    # What only a writer past ingest could do: a wrong key dies in dedup, a garbled body one hop later.
    uid = uuid.uuid4()
    producer.produce("events.raw", known, b"short", headers=[("uid", uid.bytes), ("source", b"shop")])
    producer.produce("events.raw", b"garbage", KEY, headers=[("uid", uuid.uuid4().bytes), ("source", b"shop")])
    assert producer.flush(30) == 0
    for topic in ("events.inbox", "events.raw"):  # no Python client writes such a header
        garbled = raw_produce(servers, topic, 0, KEY, known, [(b"uid", uuid.uuid4().bytes), (b"\xff", b"")])
        asyncio.run(garbled)

    status, answer = post(system, json.dumps(GOOD).encode())
    assert (status, answer["accepted"]) == (202, 1)
    system.replay(SAMPLES / "exchange", "exchange")

    sources = system.balances()
    # 1 by POST, 2 with the huge header, 3 from the newer writer; the two that bypassed ingest died on their way.
    assert sources["shop"]["postgres"] == sources["shop"]["parquet"] == 3
    assert {stage: count for stage, count in sources["shop"]["dead"].items() if count} == {"dedup": 1, "enrich": 1}
    assert sources["unknown"]["dead"]["dedup"] == 1
    assert dead(system, "ingest") == Counter([*by_the_inbox.keys(), "bad-headers"])
    assert dead(system, "dedup") == {"bad-key": 1, "bad-headers": 1}
    assert dead(system, "enrich") == {"bad-magic": 1}
    log = (system.folder / "dedup.log").read_text().splitlines()
    logged = [json.loads(line) for line in log if '"dead letter"' in line]
    assert uid.hex in {line["uid"] for line in logged}, "logs name a record as the ledger knows it"
    assert "headers_not_read" in system.penstock("consume", "events.inbox", "-n", "100").stdout
    scored = system.penstock("consume", "events.scored", "-n", "1000")
    assert scored.stdout.count(TRACE.decode()) == 1, "the producer's trace goes through every hop"
