"""The two sinks: the real buffers, flushes and commits, on stores in memory that several processes share."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, ClassVar, cast

from obstore.store import ObjectStore

import penstock.lake.chain
import services.sink.s3.buffer
import services.sink.s3.writer
from penstock.errors import DataError
from penstock.lake.layout import Chain
from penstock.lake.manifest import Manifest
from penstock.stream.assignment import Assignment
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Sink
from penstock.stream.meter import Meter
from penstock.stream.port import Record
from penstock.stream.settings import LoopSettings
from penstock.stream.sink_loop import SinkLoop
from penstock.stream.valve import ValveSettings
from penstock.testing.cluster import Topic
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
from tests.simulation.stores import NOT_TEXT, TIMEOUT_S, InsteadOfObstore
from tests.simulation.workload import BAD, REFUSED, Source, start
from tests.simulation.world import BrokenError, Stage, World

SCORED = "events.scored"
_POLL_S = 0.2  # a quarter of the idle turns, for a quarter of the time
_NOT_CALLED = ("abort", "stable_offsets", "end_offsets", "begin_offsets", "read", "delete_records")
_CALLS = (*(call for call in BROKER_CALLS if call not in _NOT_CALLED), "prepare")
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
_REFUSED_EVENT = {**_EVENT, "text": NOT_TEXT}


class Decoding:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """The registry may be away."""
        await self._process.enter("prepare")
        await self._process.leave("prepare")

    def decode(self, value: bytes | None) -> Mapping[str, Any]:
        if value == BAD:
            raise DataError("bad", "it is bad")
        return _REFUSED_EVENT if value == REFUSED else _EVENT


class SinkScenario:
    """Scored to a store, with one to three processes."""

    name: ClassVar[str]
    calls: ClassVar[tuple[str, ...]]
    echoes: ClassVar[bool] = False
    special: ClassVar[tuple[bytes, ...]] = (BAD,)

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        self.topic = SCORED
        self.dead = f"dlq.{self.name}"
        cluster, size = world.cluster, world.size
        if SCORED not in cluster.topics:
            cluster.create_topic(SCORED, size.draw_partitions(chance))
        cluster.create_topic(self.dead)
        self.stage = Stage(self.name, (SCORED,), self._build, size.draw_slots(chance), is_sink=True)
        start(cluster, self.stage.group, SCORED)
        self.source = Source(
            cluster,
            SCORED,
            chance,
            count=size.draw_records(chance),
            keys=5,
            over_s=size.draw_over_s(chance),
            echoes=self.echoes,
            special=self.special,
            steady=size.steady,
        )
        self.stages = [self.stage]
        rows, size_bytes, age_s, idle_s = (
            (10, 1000, 0.1, 0.03)
            if size.steady
            else (
                chance.choice((3, 10, 1000)),
                chance.choice((20, 1_000_000)),
                chance.choice((0.1, 1.0)),
                chance.choice((0.03, 0.5)),
            )
        )
        self.policy = FlushPolicy(rows, size_bytes, age_s, idle_s, together=self.name == "sink-postgres")

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
            backoff_max_s=1.0, sink_poll_s=_POLL_S, valve=ValveSettings(share=1.0),
        )  # fmt: skip
        topic_ids = {SCORED: self.world.cluster.topic(SCORED).topic_id}
        letters = DeadLetters(self.name, checks.encode_letter, topic_ids, process.clock)
        meter = Meter(self.name, world.metrics, process.clock)
        loop = world.built.sink_loop(broker, self.sink(process), letters, settings, process.clock, meter)
        if world.built.assignment is not Assignment:
            loop._assignment = world.built.assignment()
        return loop

    async def work(self) -> None:
        await self.source.run()

    def drained(self) -> bool:
        """The store has it all, and the group has been told so: lag is shown by what the group knows."""
        ends = self.ends()
        return all(
            log.last_stable_offset == log.high_watermark
            and not log.read(ends.get(log.where.partition, 0), log.high_watermark, 1)[0]
            for log in self.world.cluster.topic(SCORED).logs
        ) and (self.world.offsets_were_moved or self.world.is_drained(self.stage))

    def is_dead(self, record: Record) -> bool:
        return checks.is_bad(record)

    def check(self) -> None:
        self.check_stored(self.world.cluster.records(SCORED), self.letters_of(self.world.cluster.topic(SCORED)))

    def letters_of(self, topic: Topic) -> set[bytes]:
        """What its dead letters have to say about where they come from."""
        dead = [record for record in self.world.cluster.records(topic.name) if self.is_dead(record)]
        return {checks.coordinate(topic.topic_id, record) for record in dead}

    def check_stored(self, records: Sequence[Record], letters: Collection[bytes]) -> None:
        """These records, and no others, are in the store, in order; or are dead."""
        good = [r for r in records if not self.is_dead(r)]
        wanted = list(dict.fromkeys(checks.uids(good))) if self.echoes else checks.uids(good)
        checks.nothing_lost_nothing_doubled("stored", wanted, self.stored())
        checks.stored_in_order("stored", good, self.stored())
        written = self.world.cluster.records(self.dead)  # again after a crash, counted once
        checks.nothing_lost_nothing_doubled(
            "dead letters", set(checks.uids(records, where=self.is_dead)), set(checks.uids(written))
        )
        if strange := {record.value() for record in written}.symmetric_difference(letters):
            raise BrokenError(f"{self.dead}: the letters say that they come from elsewhere: {strange}")


class PostgresScenario(SinkScenario):
    name: ClassVar[str] = "sink-postgres"
    echoes: ClassVar[bool] = True
    special: ClassVar[tuple[bytes, ...]] = (BAD, REFUSED)
    calls: ClassVar[tuple[str, ...]] = (*_CALLS, *TABLE_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        self.database = world.built.database()

    def sink(self, process: Process) -> Sink:
        store = cast("Store", self.world.built.table(process, self.database))
        return PostgresSink(Intake(Decoding(process)), store, self.policy, process.clock)

    def stored(self) -> list[bytes]:
        return self.database.uids

    def is_dead(self, record: Record) -> bool:
        return checks.is_bad(record) or checks.is_refused(record)

    def check_stored(self, records: Sequence[Record], letters: Collection[bytes]) -> None:
        super().check_stored(records, letters)
        twice = [row for row, times in Counter(self.database.inserted).items() if times > 1]
        if twice:
            raise BrokenError(f"inserted more than once, and only saved by the uid: {twice}")

    def ends(self) -> Mapping[int, int]:
        now = self.world.cluster.topic(SCORED).topic_id
        return {partition: end for (topic_id, partition), end in self.database.offsets.items() if topic_id == now}


class S3Scenario(SinkScenario):
    name: ClassVar[str] = "sink-s3"
    calls: ClassVar[tuple[str, ...]] = (*_CALLS, *OBJECT_CALLS)

    def __init__(self, world: World, chance: Random) -> None:
        super().__init__(world, chance)
        self.objects: dict[str, bytes] = {}

    def sink(self, process: Process) -> Sink:
        store = cast("ObjectStore", self.world.built.objects(process, self.objects))
        writer = Writer(store, f"{self.world.chance.getrandbits(64):016x}", process.clock, uploads=4)
        return S3Sink(Intake(Decoding(process)), store, writer, self.policy, process.clock, timeout_s=TIMEOUT_S)

    def stored(self) -> list[bytes]:
        uids: list[bytes] = []
        ends: dict[Chain, int] = {}
        for manifest in self._manifests():
            if manifest.start != ends.get(manifest.chain, 0):
                raise BrokenError(f"{manifest.path} does not begin where the one before it ends: {ends}")
            ends[manifest.chain] = manifest.end
            for file in manifest.files:
                content = self.objects.get(file.path)
                if content is None:
                    raise BrokenError(f"{manifest.path} names a file that is not there: {file.path}")
                uids += [content[at : at + 16] for at in range(0, len(content), 16)]
        return uids

    def ends(self) -> Mapping[int, int]:
        now = self.world.cluster.topic(SCORED).topic_id
        return {found.chain.partition: found.end for found in self._manifests() if found.chain.topic_id == now}

    def _manifests(self) -> list[Manifest]:
        paths = sorted(path for path in self.objects if path.startswith("manifests/"))
        return [Manifest.decode(self.objects[path], path) for path in paths]


class UidBatch:
    """Stands for a pyarrow.RecordBatch: the uids are what counts."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.content = b"".join(row.uid for row in rows)
        self.num_rows = len(rows)


@contextmanager
def in_memory() -> Iterator[None]:
    """Meanwhile the lake is written to memory: no threads, no sockets, and uids for Parquet."""
    instead = (
        (penstock.lake.chain, "obstore", InsteadOfObstore),
        (services.sink.s3.writer, "obstore", InsteadOfObstore),
        (services.sink.s3.writer, "to_parquet", _join),
        (services.sink.s3.buffer, "to_batch", UidBatch),
    )
    usual = [(module, name, getattr(module, name)) for module, name, _ in instead]
    try:
        for module, name, value in instead:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in usual:
            setattr(module, name, value)


def _join(batches: Iterable[UidBatch]) -> bytes:
    return b"".join(batch.content for batch in batches)
