"""Dead letters of the whole system: sent back, sent back in vain, thrown away; and the ledger balances at each step."""

import asyncio
import json
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Producer

from penstock.schema import files
from penstock.schema.codec import Codec
from tests.e2e.pipeline import ALL, Pipeline, pipeline
from tests.e2e.test_bad_input import GOOD, event, newer, post, registered

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

MANY = 520
"""Letters of two transactions of the command."""
FORBIDDEN = "what this table refuses"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline(tmp_path_factory.mktemp("retry")) as made:
        made.start("ingest", *ALL)
        yield made
        made.stop()


def filler(number: int) -> dict[str, Any]:
    """One of many schemas that nobody reads."""
    return {"type": "record", "name": "Filler", "fields": [{"name": f"field{number}", "type": "null", "default": None}]}


def registered_as(system: Pipeline, schema_id: int, schema: dict[str, Any]) -> None:
    """Registers a schema under an id still to come: the registry counts them up."""
    number = 1
    while registered(system, f"filler{number}", filler(number)).schema_id < schema_id - 1:
        number += 1
    assert registered(system, "events.inbox-value", schema).schema_id == schema_id


def sql(system: Pipeline, statement: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(system.environment["PENSTOCK_POSTGRES_DSN"])
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(ask())


def send(system: Pipeline, topic: str, values: list[bytes], key: bytes | None = None) -> None:
    """As only a writer past ingest could: each with a uid, and unless one is given with a key of its own."""
    producer = Producer({"bootstrap.servers": system.environment["PENSTOCK_BOOTSTRAP_SERVERS"], "log_level": 0})
    for value in values:
        uid = uuid.uuid4().bytes
        producer.produce(topic, value, uid if key is None else key, headers=[("uid", uid), ("source", b"shop")])
    assert producer.flush(60) == 0


def letters(system: Pipeline, *words: str) -> list[dict[str, Any]]:
    done = system.penstock("dlq", "list", "--json", "-n", "10000", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def settle(system: Pipeline, *words: str, code: int = 0) -> dict[str, Any]:
    done = system.penstock("dlq", *words, "--yes", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def killed(system: Pipeline, failpoint: str, *words: str) -> None:
    done = system.penstock("dlq", *words, "--yes", failpoint=failpoint)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def shop(system: Pipeline) -> dict[str, Any]:
    found: dict[str, Any] = system.balances()["shop"]
    return found


def test_dead_letters_of_every_stage_go_back_or_are_thrown_away_and_the_ledger_balances_at_each_step(
    system: Pipeline,
) -> None:
    known = registered(system, "events.inbox-value", files.latest("event"))
    unknown = Codec(registered(system, "filler0", filler(0)).schema_id + 10, newer())
    sql(system, f"ALTER TABLE events ADD CONSTRAINT no_such_title CHECK (title IS DISTINCT FROM '{FORBIDDEN}')")
    send(system, "events.inbox", [known.encode(event(1))[:-3]])
    send(system, "events.raw", [known.encode(event(2))], key=b"short")
    send(system, "events.raw", [b"garbage"])
    send(system, "events.raw", [unknown.encode(event(n) | {"mood": "fine"}) for n in range(1000, 1000 + MANY)])
    body = "\n".join(json.dumps(GOOD | {"id": str(n), "title": title}) for n, title in enumerate(("fine", FORBIDDEN)))
    assert post(system, body.encode()) == (202, {"accepted": 2, "errors": []})
    first = shop(system)
    assert first["dead"] == {
        "ingest": 1, "dedup": 1, "enrich": 1 + MANY, "sentiment": 0, "sink-postgres": 1, "sink-s3": 0
    }  # fmt: skip
    assert (first["postgres"], first["parquet"]) == (1, 2)

    # What can never be read dies again, as a new letter, until it has been tried too often; ingest's by the inbox.
    hopeless = ("retry", "--reason", "bad-magic", "--reason", "truncated", "--max-attempts", "2")
    told = settle(system, *hopeless)
    assert {stage: sum(sources.values()) for stage, sources in told["settled"].items()} == {"ingest": 1, "enrich": 1}
    assert shop(system)["dead"]["enrich"] == 1 + MANY
    (letter,) = letters(system, "--reason", "bad-magic")
    assert (letter["attempts"], letter["topic"]) == (2, "retry.enrich")
    assert letter["letter"] in settle(system, *hopeless, code=1)["refused"]["too-many-attempts"]["letters"]

    # Their schema is known by now. The command is killed before, and after a commit; each letter goes back once.
    registered_as(system, unknown.schema_id, newer())
    system.processes["enrich"].send_signal(signal.SIGTERM)
    assert system.processes.pop("enrich").wait(60) == 0
    system.start("enrich")  # an id that the registry does not know is not asked for again at once
    chosen = ("retry", "--reason", "unknown-schema")
    killed(system, "dlq.before-commit:2", *chosen)
    killed(system, "dlq.after-commit", *chosen)
    told = settle(system, *chosen)
    assert (told["settled"], told["settled_before"]) == ({}, MANY)
    through = shop(system)
    assert (through["dead"]["enrich"], through["postgres"], through["parquet"]) == (1, 1 + MANY, 2 + MANY)
    assert len(sql(system, "SELECT DISTINCT id FROM events WHERE source = 'shop'")) == 1 + MANY

    # What Postgres refused it takes by now; Parquet has it already. Dedup's letter cannot go back.
    sql(system, "ALTER TABLE events DROP CONSTRAINT no_such_title")
    resting = {letter["stage"]: letter for letter in letters(system)}
    assert set(resting) == {"ingest", "dedup", "enrich", "sink-postgres"}
    assert resting["ingest"]["attempts"] == 2
    refused = resting["sink-postgres"]
    told = settle(system, "retry", refused["letter"], resting["dedup"]["letter"], code=1)
    assert (told["settled"], list(told["refused"])) == ({"sink-postgres": {"shop": 1}}, ["purge-only"])
    stored = shop(system)
    assert (stored["dead"]["sink-postgres"], stored["postgres"], stored["parquet"]) == (0, 2 + MANY, 2 + MANY)
    (row,) = sql(system, "SELECT uid, topic, ingested_at FROM events WHERE id = 'shop:1'")
    assert (row["uid"].hex(), row["topic"]) == (refused["uid"], "retry.sink-postgres")
    assert row["ingested_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z") == refused["timestamp"]

    # The rest is thrown away, by a command that is killed before it deletes, and by its repetition.
    killed(system, "dlq.before-delete", "purge")
    assert letters(system) == []
    told = settle(system, "purge")
    assert told["settled"] == {}
    assert sorted(told["deleted"]) == ["dlq.dedup/0", "dlq.enrich/0", "dlq.ingest/0", "dlq.sink-postgres/0"]
    assert letters(system, "--all") == []
    last = shop(system)
    assert {stage: count for stage, count in last["dead"].items() if count} == {"ingest": 1, "dedup": 1, "enrich": 1}
    assert last["purged"] == last["dead"]
    assert (last["postgres"], last["parquet"]) == (2 + MANY, 2 + MANY)

    runs = json.loads(system.penstock("dlq", "audit", "--json").stdout)
    assert [(run["command"], run["count"]) for run in runs if run["stage"] == "enrich"] == [
        ("retry", 1), ("retry", 500), ("retry", MANY - 500), ("purge", 1)
    ]  # fmt: skip
    assert all("@" in run["who"] for run in runs)
    assert runs[1]["filters"] == "--reason bad-magic --reason truncated"
