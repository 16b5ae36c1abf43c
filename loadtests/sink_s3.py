"""How close sink-s3 comes to a bare Parquet write: `python -m loadtests.sink_s3 [--records 40000]`.

Writes into temporary folders. In turns, so that both meet the same noise: the sink takes records in and flushes them
into files and manifests; the bare side decodes the same records, has pyarrow make a table of the decoded dicts, column
by column, and write it as one Parquet file per partition with the same compression. Medians of --rounds; the target is
a ratio of 0.6.
"""

import argparse
import asyncio
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadtests.scored_records import TOPIC, TOPIC_IDS, ReadRecord, decoder, scored_records
from penstock.clock import SystemClock
from penstock.lake.store import open_store
from penstock.stream.port import TopicPartition
from services.sink.intake import Intake
from services.sink.policy import FlushPolicy
from services.sink.s3.parquet import SCHEMA
from services.sink.s3.sink import S3Sink
from services.sink.s3.writer import Writer

PARTITIONS = 4
POLL = 5000
TARGET = 0.6
POLICY = FlushPolicy(1 << 40, 1 << 40, 1e9, 1e9, together=False)


async def sink_turn(folder: Path, records: Sequence[ReadRecord]) -> None:
    clock = SystemClock()
    store = open_store(folder.as_uri())
    sink = S3Sink(
        Intake(decoder()), store, Writer(store, secrets.token_hex(8), clock, uploads=8), POLICY, clock, timeout_s=60
    )
    ends = dict.fromkeys((TopicPartition(TOPIC, number) for number in range(PARTITIONS)), 0)
    await sink.positions(ends, TOPIC_IDS)
    for first in range(0, len(records), POLL):
        batch = records[first : first + POLL]
        assert not await sink.add(batch)
        ends |= {record.place: record.position + 1 for record in batch}
    assert all(done.ours for done in (await sink.flush(ends)).values())


async def bare_turn(folder: Path, records: Sequence[ReadRecord]) -> None:
    decoding = decoder()
    await decoding.prepare([records[0].content])
    fields = [field for field in SCHEMA if field.name not in ("uid", "topic", "topic_partition", "topic_offset")]
    for partition in range(PARTITIONS):
        events = [decoding.decode(record.content) for record in records if record.place.partition == partition]
        columns = [pa.array([event[field.name] for event in events], field.type) for field in fields]
        pq.write_table(
            pa.Table.from_arrays(columns, schema=pa.schema(fields)), folder / f"{partition}.parquet", compression="zstd"
        )


async def timed(turn: Callable[[Path], Awaitable[None]]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        await turn(Path(folder))
        return time.perf_counter() - started_s


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    records = scored_records(asked.records, PARTITIONS)
    await timed(lambda folder: sink_turn(folder, records))
    sink_s, bare_s = [], []
    for _ in range(asked.rounds):
        bare_s.append(await timed(lambda folder: bare_turn(folder, records)))
        sink_s.append(await timed(lambda folder: sink_turn(folder, records)))
    bare, sink = (statistics.median(taken) / asked.records * 1e6 for taken in (bare_s, sink_s))
    ratio = statistics.median(b / s for b, s in zip(bare_s, sink_s, strict=True))
    each = f"decode, bare write {bare:.1f} us each, sink-s3 {sink:.1f} us"
    print(f"{asked.records:,} records, {asked.rounds} rounds: {each}")
    print(f"ratio {ratio:.2f}, target {TARGET}")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
