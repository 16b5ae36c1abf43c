"""Both sinks as the processes they are, on real Kafka: killed where it hurts, every event stored once."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import obstore
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition

from penstock.lake.chain import manifests
from penstock.lake.store import open_store
from penstock.schema.codec import encoder
from penstock.schema.registry import Registry
from penstock.stream import headers
from penstock.stream.port import Outgoing
from penstock.stream.publisher import KafkaPublisher
from tests.conftest import RunningStack
from tests.unfinished import rows_rolled_back
from tests.unit.sink.feeding import SCORED, events

pytestmark = pytest.mark.integration

WITHIN_S = 120.0
COUNT = 2000


class SinkProcess:
    def __init__(self, stack: RunningStack, kind: str, folder: Path, **settings: str) -> None:
        self._kind = kind
        self._log = folder / f"{kind}.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "PENSTOCK_SCHEMA_REGISTRY_URL": stack.schema_registry_url,
            "PENSTOCK_DATA": str(folder),
            **settings,
        }

    async def start(self, failpoint: str = "") -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.sink", self._kind),
                env={**self._environment, "PENSTOCK_FAILPOINT": failpoint},
                stdout=log,
                stderr=log,
            )

    async def dies_at(self, failpoint: str) -> None:
        process = await self.start(failpoint)
        try:
            async with asyncio.timeout(WITHIN_S):
                assert await process.wait() == -signal.SIGKILL, self.log
        finally:
            if process.returncode is None:  # it would fence the next one
                process.kill()
                await process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()


async def stop(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WITHIN_S):
        return await process.wait()


async def send(stack: RunningStack, count: int) -> set[bytes]:
    """Recorded events into events.scored, taken in now; their uids. Two records of every send cannot be read."""
    now_ms = time.time_ns() // 1_000_000
    uids = [uuid4().bytes for _ in range(count)]
    async with Registry(stack.schema_registry_url) as registry:
        codec = await encoder(registry, "scored_event", f"{SCORED}-value")
    batch = [
        Outgoing(
            SCORED,
            uid,
            codec.encode({**event, "ingested_at": now_ms}),
            [(headers.UID, uid), (headers.SOURCE, b"github")],
            now_ms,
        )
        for uid, event in zip(uids, events(count), strict=True)
    ]
    batch.insert(count // 2, Outgoing(SCORED, b"tombstone", None, [(headers.UID, uuid4().bytes)], now_ms))
    batch.append(Outgoing(SCORED, b"cut short", batch[0].value[:-3] if batch[0].value else None, [], now_ms))
    publisher = KafkaPublisher(stack.bootstrap_servers, "test")
    assert not any(await publisher.publish(batch))
    await publisher.close()
    return set(uids)


def dead_letters_of(stack: RunningStack, stage: str) -> int:
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": "none", "isolation.level": "read_committed"}
    )
    letters = TopicPartition(f"dlq.{stage}", 0, 0)
    _, end = consumer.get_watermark_offsets(letters, timeout=10)
    consumer.assign([letters])
    found = 0
    deadline_s = time.monotonic() + WITHIN_S
    while end and consumer.position([letters])[0].offset < end:
        found += len([one for one in consumer.consume(1000, timeout=0.5) if one.error() is None])
        assert time.monotonic() < deadline_s
    consumer.close()
    return found


async def stored_in_postgres(dsn: str, sent: set[bytes]) -> list[bytes]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["uid"] for row in await connection.fetch("SELECT uid FROM events WHERE uid = ANY($1)", list(sent))]
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


async def stored_in_lake(url: str, sent: set[bytes]) -> list[bytes]:
    store = open_store(url)
    found: list[bytes | None] = []
    async for manifest in manifests(store, SCORED):
        for file in manifest.files:
            content = await (await obstore.get_async(store, file.path)).bytes_async()
            found += pq.read_table(io.BytesIO(bytes(content)), columns=["uid"])["uid"].to_pylist()
    return [uid for uid in found if uid is not None and uid in sent]


@pytest.mark.parametrize("kind", ["postgres", "s3"])
async def test_a_sink_killed_before_and_after_its_commit_stores_every_event_once(
    stack: RunningStack, tmp_path: Path, kind: str
) -> None:
    name = f"sink_{uuid4().hex}"
    admin = await asyncpg.connect(stack.postgres_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlunsplit(urlsplit(stack.postgres_dsn)._replace(path=f"/{name}"))
    lake = (tmp_path / "lake").as_uri()
    stage = f"sink-{kind}"
    point = {"postgres": "commit", "s3": "manifest"}[kind]

    async def stored(sent: set[bytes]) -> Sequence[bytes]:
        return await (stored_in_postgres(dsn, sent) if kind == "postgres" else stored_in_lake(lake, sent))

    sink = SinkProcess(
        stack,
        kind,
        tmp_path,
        PENSTOCK_POSTGRES_DSN=dsn,
        PENSTOCK_OBJECT_STORE_URL=lake,
        **({"PENSTOCK_SINK_S3_FLUSH_IDLE_S": "0.5"} if kind == "s3" else {"PENSTOCK_SINK_POSTGRES_FLUSH_ROWS": "300"}),
    )
    dead_before = dead_letters_of(stack, stage)
    sent = await send(stack, COUNT)
    await sink.dies_at(f"{stage}.after-dead-letters")
    assert await asyncio.to_thread(dead_letters_of, stack, stage) > dead_before, "acked before the store could go past"
    await sink.dies_at(f"{stage}.before-{point}")
    assert await stored(sent) == []
    if kind == "postgres":
        assert await rows_rolled_back(dsn) > 0, "the rows had been written when it died"
    await sink.dies_at(f"{stage}.after-{point}")
    first = await stored(sent)
    assert len(first) == len(set(first))
    process = await sink.start()
    try:
        sent |= await send(stack, COUNT)
        async with asyncio.timeout(WITHIN_S):
            while len(found := await stored(sent)) < len(sent):
                assert process.returncode is None, sink.log
                await asyncio.sleep(0.2)
        assert sorted(found) == sorted(sent)
        assert await stop(process) == 0, sink.log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
    assert dead_letters_of(stack, stage) >= dead_before + 4
    assert "is stored already" not in sink.log, "the offset, and not the key, keeps rows from being stored twice"
