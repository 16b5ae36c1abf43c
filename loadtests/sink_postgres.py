"""How close sink-postgres comes to a bare COPY: `python -m loadtests.sink_postgres [--records 40000]`.

Needs PENSTOCK_POSTGRES_DSN (`eval "$(penstock env)"`); works in a database of its own, which it drops again. In turns,
so that both meet the same noise: the sink takes records in and flushes them; the bare side decodes the same records
and hands the same rows, made beforehand, to asyncpg's COPY in transactions of the same size, into the same table.
Medians of --rounds; the target is a ratio of 0.6.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from loadtests.scored_records import TOPIC, TOPIC_IDS, ReadRecord, decoder, scored_records
from penstock.clock import SystemClock
from penstock.stream.port import TopicPartition
from services.sink.intake import Intake
from services.sink.policy import FlushPolicy
from services.sink.postgres.columns import COLUMNS, Cells, cells_of, days_of
from services.sink.postgres.database import Database
from services.sink.postgres.migrate import migrate
from services.sink.postgres.sink import PostgresSink
from services.sink.postgres.store import Store
from services.sink.rows import row_of

PARTITIONS = 8
BATCH = 5000
TARGET = 0.6
POLICY = FlushPolicy(BATCH, 1 << 40, 1e9, 1e9, together=True)
Batches = Sequence[Sequence[ReadRecord]]


async def sink_turn(dsn: str, batches: Batches) -> float:
    """Seconds from the first record to the last commit; starting up, migrations and all, is not timed."""
    store = Store(Database(dsn, statement_timeout_s=60), flush_timeout_s=60)
    sink = PostgresSink(Intake(decoder()), store, POLICY, SystemClock())
    ends = dict.fromkeys((TopicPartition(TOPIC, number) for number in range(PARTITIONS)), 0)
    await sink.positions(ends, TOPIC_IDS)
    started_s = time.perf_counter()
    for batch in batches:
        assert not await sink.add(batch)
        ends |= {record.place: record.position + 1 for record in batch}
        assert all(done.ours for done in (await sink.flush(ends)).values())
    took_s = time.perf_counter() - started_s
    await sink.close()
    return took_s


async def bare_turn(dsn: str, batches: Batches, rows: Sequence[Sequence[Cells]]) -> float:
    decoding = decoder()
    connection = await asyncpg.connect(dsn)
    started_s = time.perf_counter()
    for batch, cells in zip(batches, rows, strict=True):
        await decoding.prepare(record.content for record in batch)
        for record in batch:
            decoding.decode(record.content)
        async with connection.transaction():
            await connection.copy_records_to_table("events", records=cells, columns=COLUMNS)
    took_s = time.perf_counter() - started_s
    await connection.close()
    return took_s


async def rows_of(batches: Batches) -> list[list[Cells]]:
    """The rows as one gives them to asyncpg: dates, times, and JSON as text."""
    decoding = decoder()
    await decoding.prepare([batches[0][0].content])
    return [
        [plain(cells_of(row_of(record, decoding.decode(record.content), TOPIC_IDS[TOPIC]))) for record in batch]
        for batch in batches
    ]


def plain(cells: Cells) -> Cells:
    def convert(name: str, cell: object) -> object:
        if name == "day":
            return next(iter(days_of([cells])))
        if name.endswith("_at"):
            assert isinstance(cell, tuple)
            return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=cell[0])
        return cell[1:].decode() if isinstance(cell, bytes) and name != "uid" else cell

    return tuple(convert(name, cell) for name, cell in zip(COLUMNS, cells, strict=True))


async def timed(dsn: str, turn: Callable[[], Awaitable[float]]) -> float:
    connection = await asyncpg.connect(dsn)
    await connection.execute("TRUNCATE events, offsets")
    await connection.execute("CHECKPOINT")
    await connection.close()
    return await turn()


async def measure(dsn: str, count: int, rounds: int) -> bool:
    records = scored_records(count, PARTITIONS)
    batches = [records[first : first + BATCH] for first in range(0, count, BATCH)]
    rows = await rows_of(batches)
    await migrate(dsn, timeout_s=60)
    await timed(dsn, lambda: sink_turn(dsn, batches))  # makes the day's partition, and warms up
    sink_s, bare_s = [], []
    for _ in range(rounds):
        bare_s.append(await timed(dsn, lambda: bare_turn(dsn, batches, rows)))
        sink_s.append(await timed(dsn, lambda: sink_turn(dsn, batches)))
    bare, sink = (statistics.median(taken) / count * 1e6 for taken in (bare_s, sink_s))
    ratio = statistics.median(b / s for b, s in zip(bare_s, sink_s, strict=True))
    print(f"{count:,} records, {rounds} rounds: decode and bare COPY {bare:.1f} us each, sink-postgres {sink:.1f} us")
    print(f"ratio {ratio:.2f}, target {TARGET}")
    return ratio >= TARGET


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    stack_dsn = os.environ["PENSTOCK_POSTGRES_DSN"]
    name = f"loadtest_{os.getpid()}"
    admin = await asyncpg.connect(stack_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        dsn = urlunsplit(urlsplit(stack_dsn)._replace(path=f"/{name}"))
        return 0 if await measure(dsn, asked.records, asked.rounds) else 1
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
