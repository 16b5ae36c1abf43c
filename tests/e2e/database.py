"""A database of its own, with the sink's tables: what one test stores, no other finds."""

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from penstock.clock import SystemClock
from services.sink.postgres.columns import COLUMNS, cells_of
from services.sink.postgres.database import use_codecs
from services.sink.postgres.migrate import migrate
from services.sink.rows import Row
from tests.conftest import RunningStack
from tests.e2e.scored import Record


@asynccontextmanager
async def own_database(stack: RunningStack) -> AsyncIterator[str]:
    """Its DSN; the tables are there, one partition takes every day."""
    name = f"gateway_{uuid.uuid4().hex[:12]}"
    dsn = urlunsplit(urlsplit(stack.postgres_dsn)._replace(path=f"/{name}"))
    admin = await asyncpg.connect(stack.postgres_dsn)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await migrate(dsn, timeout_s=30)
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE events_all PARTITION OF events DEFAULT")
        await connection.close()
        yield dsn
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


async def store(dsn: str, records: Iterable[Record], *, first_ms: int | None = None, step_ms: int = 1000) -> list[str]:
    """Stores events as the sink does, taken in `step_ms` apart from `first_ms` (now) on; their uids in hex."""
    start_ms = SystemClock().now_ms() if first_ms is None else first_ms
    uids, rows = [], []
    for number, record in enumerate(records):
        uid = uuid.uuid4().bytes
        row = Row(uid, record["source"], start_ms + number * step_ms, "events.scored", 0, number, record)
        uids.append(uid.hex())
        rows.append(cells_of(row))
    connection = await asyncpg.connect(dsn)
    try:
        await use_codecs(connection)
        await connection.copy_records_to_table("events", records=rows, columns=list(COLUMNS))
    finally:
        await connection.close()
    return uids
