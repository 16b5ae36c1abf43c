"""A small world of records on real Kafka, in a real table and in real files, written by hand: no service takes part."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.clock import SystemClock
from penstock.lake.chain import commit
from penstock.lake.layout import Chain, folder_of
from penstock.lake.manifest import LakeFile, Manifest
from penstock.lake.store import open_store
from penstock.ledger.audit import Action, Command, SettledLetter
from penstock.ledger.count import TOPICS, Ledger, Places, Verdict, open_ledger
from penstock.ledger.decoding import Decoders
from penstock.ledger.expectation import Expectation
from penstock.ledger.identity import Place
from penstock.ledger.kafka_reader import KafkaReader
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder
from penstock.stream.kafka_config import producer as producer_config
from tests.conftest import RunningStack

RECORDS = {7: "dead_letter", 8: "dlq_action"}
INPUTS = {"ingest": "raw", "dedup": "raw", "enrich": "unique", "sentiment": "enriched"}
"""Account of what a stage reads; the others read `scored`."""


class Schemas:
    """A registry that knows `RECORDS`."""

    async def schema(self, schema_id: int) -> Mapping[str, Any]:
        return files.latest(RECORDS[schema_id])


def decoders() -> Decoders:
    return Decoders(Decoder(Schemas(), "dead_letter"), Decoder(Schemas(), "dlq_action"))


def uid_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


class World:
    """Topics under a prefix of its own, a database and a folder. Everything written is committed at once."""

    def __init__(self, places: Places, topic_ids: Mapping[str, str], stack: RunningStack) -> None:
        self.places = places
        self.topic_ids = topic_ids
        self.now_ms = SystemClock().now_ms()
        self._stack = stack
        self._letters, self._actions = (Codec(number, files.latest(record)) for number, record in RECORDS.items())
        self._spans = 0
        self._producer = Producer(
            producer_config(stack.bootstrap_servers, "world") | {"transactional.id": f"world-{uuid4().hex}"}
        )
        self._producer.init_transactions(30)

    def write(self, account: str, *uids: bytes | None, source: str | None = "github", at_ms: int | None = None) -> None:
        """Records into the topic of an account, in one transaction, behind one that was rolled back."""
        topic = self.places.topics[account]
        self._producer.begin_transaction()
        self._producer.produce(topic, b"rolled back", headers=[("uid", b"r" * 16), ("source", b"github")])
        self._producer.flush(30)
        self._producer.abort_transaction(30)
        self._producer.begin_transaction()
        for uid in uids:
            headers = [("uid", uid), ("source", None if source is None else source.encode())]
            self._producer.produce(
                topic,
                b"bytes",
                headers=[(name, value) for name, value in headers if value is not None],
                timestamp=self.now_ms if at_ms is None else at_ms,
            )
        self._producer.commit_transaction(30)

    def send_back(self, stage: str, uid: bytes, *, at_ms: int, source: str = "github") -> None:
        """A record of retry.<stage>, sent back now, whose ingest time is `at_ms`."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("uid", uid), ("source", source.encode()), ("ingest-time", b"%d" % at_ms)
        ]  # fmt: skip
        self._producer.begin_transaction()
        self._producer.produce(self.places.topics[f"retry.{stage}"], b"bytes", headers=headers, timestamp=self.now_ms)
        self._producer.commit_transaction(30)

    def settle(
        self, command: Command, stage: str, uid: bytes | None, offset: int, *, source: str | None = "github"
    ) -> None:
        """The audit's word that the letter of `stage` for a record at that offset of its input was settled."""
        place = Place(self.topic_ids[self.places.topics[INPUTS.get(stage, "scored")]], 0, offset)
        letter = SettledLetter(0, 0, place, self.now_ms, uid, source, 1)
        action = Action(command, "run", "somebody@somewhere", self.now_ms, stage, "", (letter,))
        self._producer.begin_transaction()
        self._producer.produce(self.places.topics["audit"], self._actions.encode(action.to_record()))
        self._producer.commit_transaction(30)

    async def delete(self, account: str, before: int) -> None:
        """Deletes the records before that offset from the topic of an account."""
        admin = AdminClient({"bootstrap.servers": self.places.bootstrap_servers})
        asked = [KafkaPartition(self.places.topics[account], 0, before)]
        for done in admin.delete_records(asked).values():
            await asyncio.to_thread(done.result)

    def bury(
        self,
        stage: str,
        uid: bytes | None,
        offset: int,
        *,
        source: str | None = "github",
        times: int = 1,
        at_ms: int | None = None,
    ) -> None:
        """A dead letter of `stage` for a record at that offset of its input, `times` over; `at_ms` is when ingest took
        that in."""
        topic = INPUTS.get(stage, "scored")
        letter = {
            "stage": stage,
            "topic": self.places.topics[topic],
            "topic_id": self.topic_ids[self.places.topics[topic]],
            "partition": 0,
            "offset": offset,
            "timestamp": self.now_ms if at_ms is None else at_ms,
            "value": b"bytes",
            "headers": [],
            "reason": "bad-magic",
            "uid": uid,
            "source": source,
            "failed_at": self.now_ms + 1,
        }
        self._producer.begin_transaction()
        for _ in range(times):
            self._producer.produce(self.places.topics[f"dlq.{stage}"], self._letters.encode(letter))
        self._producer.commit_transaction(30)

    async def insert(self, *uids: bytes, source: str = "github", at_ms: int | None = None) -> None:
        when = datetime.fromtimestamp((self.now_ms if at_ms is None else at_ms) / 1000, UTC)
        connection = await asyncpg.connect(self.places.postgres_dsn)
        await connection.executemany(
            "INSERT INTO events (day, uid, source, ingested_at) VALUES ($1, $2, $3, $4)",
            [(when.date(), uid, source, when) for uid in uids],
        )
        await connection.close()

    async def store(self, *uids: bytes, source: str = "github", at_ms: int | None = None, named: bool = True) -> str:
        """A Parquet file, with a manifest that names it or without; returns its path."""
        at = self.now_ms if at_ms is None else at_ms
        table = pa.table(
            {
                "uid": pa.array(list(uids), pa.binary(16)),
                "source": pa.array([source] * len(uids), pa.string()),
                "ingested_at": pa.array([at] * len(uids), pa.timestamp("ms", tz="UTC")),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content = sink.getvalue().to_pybytes()
        topic = self.places.topics["scored"]
        chain = Chain(topic, self.topic_ids[topic], 0)
        folder, start, end = folder_of(source, at), self._spans, self._spans + len(uids)
        path = chain.file_path(folder, start, end, uuid4().hex)
        store = open_store(self.places.object_store_url)
        await obstore.put_async(store, path, content)
        if named:
            self._spans = end
            file = LakeFile(path, len(uids), len(content), source, folder.date, folder.hour)
            await commit(store, Manifest(chain, start, end, "0" * 32, at, (file,)))
        return path

    async def open(self, *expected: Expectation, as_of_ms: int | None = None, since_ms: int | None = None) -> Ledger:
        at = self.now_ms + 1000 if as_of_ms is None else as_of_ms
        return await open_ledger(self.places, expected, decoders(), at, since_ms)

    async def verdict(self, *expected: Expectation, as_of_ms: int | None = None) -> Verdict:
        ledger = await self.open(*expected, as_of_ms=as_of_ms)
        try:
            return await ledger.count(lambda what, done, total: None)
        finally:
            await ledger.close()

    def judging(self, *sinks: str) -> None:
        self.places = replace(self.places, sinks=sinks)


@asynccontextmanager
async def small_world(stack: RunningStack, folder: Path) -> AsyncIterator[World]:
    prefix = f"world-{uuid4().hex[:12]}"
    topics = {account: f"{prefix}.{topic}" for account, topic in TOPICS.items()}
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    asked = [NewTopic(name, num_partitions=1, replication_factor=1) for name in topics.values()]
    for made in admin.create_topics(asked).values():
        await asyncio.to_thread(made.result)
    database = await asyncpg.connect(stack.postgres_dsn)
    await database.execute(f'CREATE DATABASE "{prefix}"')
    dsn = stack.postgres_dsn.rpartition("/")[0] + f"/{prefix}"
    own = await asyncpg.connect(dsn)
    await own.execute(
        "CREATE TABLE events (day date, uid bytea, source text NOT NULL, ingested_at timestamptz NOT NULL,"
        " PRIMARY KEY (day, uid))"
    )
    await own.close()
    reader = KafkaReader(stack.bootstrap_servers)
    facts = await reader.facts(list(topics.values()))
    await reader.close()
    places = Places(stack.bootstrap_servers, dsn, (folder / "objects").as_uri(), topics=topics)
    try:
        yield World(places, {topic: fact.topic_id for topic, fact in facts.items()}, stack)
    finally:
        for gone in admin.delete_topics(list(topics.values())).values():
            await asyncio.to_thread(gone.result)
        await database.execute(f'DROP DATABASE "{prefix}" WITH (FORCE)')
        await database.close()
