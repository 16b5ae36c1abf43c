"""The two sinks: the real buffers, flushes and commits, on stores in memory that several processes share."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, cast

from obstore.store import ObjectStore

import penstock.lake.chain
import penstock.stream.sink_loop
import services.sink.s3.buffer
import services.sink.s3.writer
from penstock.errors import DataError
from penstock.lake.manifest import Manifest
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Sink
from penstock.stream.meter import Meter
from penstock.stream.settings import LoopSettings
from penstock.stream.sink_loop import SinkLoop
from services.sink.intake import Intake
from services.sink.policy import FlushPolicy
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import Store
from services.sink.rows import Row
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer
from tests.simulation import checks
from tests.simulation.faults import BROKER_CALLS, OBJECT_CALLS, TABLE_CALLS
from tests.simulation.faulty_broker import FaultyBroker
from tests.simulation.process import Process
from tests.simulation.stores import FaultyTable, InsteadOfObstore
from tests.simulation.workload import BAD, Source, start
from tests.simulation.world import BrokenError, Stage, World

SCORED = "events.scored"
_POLL_S = 0.2  # a quarter of the idle turns, for a quarter of the time
_CALLS = tuple(call for call in BROKER_CALLS if call not in ("end_offsets", "begin_offsets", "read", "delete_records"))
_EVENT: Mapping[str, Any] = {
    **dict.fromkeys(
        ("id", "version", "author", "title", "text", "url", "stated_language", "location", "language", "sentiment",
         "entities", "keywords", "topics", "place", "kind")
    ),
    "occurred_at": 0,
    "ingested_at": 0,
    "measures": {},
    "attributes": {},
}  # fmt: skip


class Decoding:
    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Every schema is known."""

    def decode(self, value: bytes | None) -> Mapping[str, Any]:
        if value == BAD:
            raise DataError("bad", "it is bad")
        return _EVENT


class SinkScenario:
    """Scored to a store, with one to three processes."""

    name: ClassVar[str]
    calls: ClassVar[tuple[str, ...]]
    echoes: ClassVar[bool] = False

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        self.topic = SCORED
        self.dead = f"dlq.{self.name}"
        cluster = world.cluster
        if SCORED not in cluster.topics:
            cluster.create_topic(SCORED, chance.randint(1, 3))
        cluster.create_topic(self.dead)
        self.topic_ids = {SCORED: cluster.topic(SCORED).topic_id}
        self.stage = Stage(self.name, (SCORED,), self._build, slots=chance.randint(1, 3))
        start(cluster, self.stage.group, SCORED)
        self.source = Source(
            cluster,
            SCORED,
            chance,
            count=chance.randint(5, 60),
            keys=5,
            over_s=chance.uniform(1, 6),
            echoes=self.echoes,
        )
        self.stages = [self.stage]
        self.policy = FlushPolicy(
            max_rows=chance.choice((3, 10, 1000)),
            max_bytes=chance.choice((20, 1_000_000)),
            max_age_s=chance.choice((0.1, 1.0)),
            max_idle_s=chance.choice((0.03, 0.5)),
            together=self.name == "sink-postgres",
        )

    def sink(self, process: Process) -> Sink:
        raise NotImplementedError

    def stored(self) -> list[bytes]:
        """The uids in the store."""
        raise NotImplementedError

    def ends(self) -> Mapping[int, int]:
        """Partition to the offset that the store says to go on from."""
        raise NotImplementedError

    def _build(self, world: World, process: Process, broker: FaultyBroker) -> SinkLoop:
        settings = LoopSettings(
            self.name, max_records=world.max_records, commit_deadline_s=2.0, retry_pause_s=0.05, backoff_start_s=0.05,
            backoff_max_s=1.0,
        )  # fmt: skip
        letters = DeadLetters(self.name, lambda fields: b"%d" % cast("int", fields["offset"]), self.topic_ids,
                              process.clock)  # fmt: skip
        meter = Meter(self.name, world.metrics, process.clock)
        return world.built.sink_loop(broker, self.sink(process), letters, settings, process.clock, meter)

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        ends = self.ends()
        return all(
            log.last_stable_offset == log.high_watermark
            and not log.read(ends.get(log.where.partition, 0), log.high_watermark, 1)[0]
            for log in self.world.cluster.topic(SCORED).logs
        )

    def check(self) -> None:
        records = self.world.cluster.records(SCORED)
        good = [checks.uid(r) for r in records if not checks.is_bad(r)]
        bad = {checks.uid(r) for r in records if checks.is_bad(r)}
        checks.nothing_lost_nothing_doubled("stored", list(dict.fromkeys(good)) if self.echoes else good, self.stored())
        dead = {checks.uid(r) for r in self.world.cluster.records(self.dead)}  # again after a crash, counted once
        checks.nothing_lost_nothing_doubled("dead letters", bad, dead)


class PostgresScenario(SinkScenario):
    name: ClassVar[str] = "sink-postgres"
    echoes: ClassVar[bool] = True
    calls: ClassVar[tuple[str, ...]] = (*_CALLS, *TABLE_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        self.database = world.built.database()

    def sink(self, process: Process) -> Sink:
        store = cast("Store", FaultyTable(process, self.database))
        return PostgresSink(Intake(Decoding()), store, self.policy, process.clock)

    def stored(self) -> list[bytes]:
        return self.database.uids

    def check(self) -> None:
        super().check()
        twice = [row for row, times in Counter(self.database.inserted).items() if times > 1]
        if twice:
            raise BrokenError(f"inserted more than once, and only saved by the uid: {twice}")

    def ends(self) -> Mapping[int, int]:
        return {partition: end for (_, partition), end in self.database.offsets.items()}


class S3Scenario(SinkScenario):
    name: ClassVar[str] = "sink-s3"
    calls: ClassVar[tuple[str, ...]] = (*_CALLS, *OBJECT_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        self.objects: dict[str, bytes] = {}
        in_memory()

    def sink(self, process: Process) -> Sink:
        store = cast("ObjectStore", self.world.built.objects(process, self.objects))
        writer = Writer(store, f"{self.world.chance.getrandbits(64):016x}", process.clock, uploads=4)
        return S3Sink(Intake(Decoding()), store, writer, self.policy, process.clock, timeout_s=3.0)

    def stored(self) -> list[bytes]:
        uids: list[bytes] = []
        ends: dict[int, int] = {}
        for manifest in self._manifests():
            if manifest.start != ends.get(manifest.chain.partition, 0):
                raise BrokenError(f"{manifest.path} does not begin where the one before it ends: {ends}")
            ends[manifest.chain.partition] = manifest.end
            for file in manifest.files:
                content = self.objects[file.path]
                uids += [content[at : at + 16] for at in range(0, len(content), 16)]
        return uids

    def ends(self) -> Mapping[int, int]:
        return {manifest.chain.partition: manifest.end for manifest in self._manifests()}

    def _manifests(self) -> list[Manifest]:
        paths = sorted(path for path in self.objects if path.startswith("manifests/"))
        return [Manifest.decode(self.objects[path], path) for path in paths]


class UidBatch:
    """Stands for a pyarrow.RecordBatch: the uids are what counts."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.content = b"".join(row.uid for row in rows)
        self.num_rows = len(rows)


def in_memory() -> None:
    """From now on, in this process, the lake is written to memory: no threads, no sockets, and uids for Parquet."""
    for module, name, instead in (
        (penstock.lake.chain, "obstore", InsteadOfObstore),
        (services.sink.s3.writer, "obstore", InsteadOfObstore),
        (services.sink.s3.writer, "to_parquet", _join),
        (services.sink.s3.buffer, "to_batch", UidBatch),
        (penstock.stream.sink_loop, "_POLL_S", _POLL_S),
    ):
        setattr(module, name, instead)


def _join(batches: Iterable[UidBatch]) -> bytes:
    return b"".join(batch.content for batch in batches)
