"""The transaction that makes a row exactly once: rows and the offset behind them, by compare-and-set."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, cast

import asyncpg
import structlog
from asyncpg import exceptions as pg

from penstock import failpoints
from penstock.errors import PermanentError
from penstock.stream.port import TopicPartition
from services.sink.bisect import find_refused
from services.sink.postgres.columns import COLUMNS, Cells, days_of
from services.sink.postgres.database import Database
from services.sink.postgres.days import Days

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
Copy = Callable[["Connection", Sequence[Cells]], Awaitable[None]]

log = structlog.get_logger(__name__)

LAYOUT = "v1"
"""Names the present layout of `events` in the table `offsets`: a new layout starts over, under a new name."""

_SEARCH_S = 25.0
"""For finding the refused rows of one span; less than what /livez calls a hang, half of PENSTOCK_HANG_S."""
_REFUSALS = (
    pg.DataError,
    pg.IntegrityConstraintViolationError,
    pg.ProgramLimitExceededError,
    ValueError,  # asyncpg cannot encode it; UnicodeError is one
    TypeError,
    OverflowError,
)


class CopyRefusedError(Exception):
    """A row of a COPY, and not the database, is at fault; its cause is what Postgres or asyncpg said."""


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of `[start, end)` of one partition."""

    partition: TopicPartition
    topic_id: str
    start: int
    end: int
    rows: Sequence[Cells]


class Store:
    """
    Args:
        flush_timeout_s: for a whole flush; whether it was stored is unknown after it, until the next one asks.
    """

    def __init__(self, database: Database, *, flush_timeout_s: float) -> None:
        self._database = database
        self._flush_timeout_s = flush_timeout_s
        self._days = Days()

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> dict[TopicPartition, int]:
        """The offsets to go on from; those of partitions never seen are set to 0."""
        ordered = sorted(partitions)
        topics = [partition.topic for partition in ordered]
        ids = [topic_ids[partition.topic] for partition in ordered]
        numbers = [partition.partition for partition in ordered]
        async with self._database.connection("Reading offsets", within_s=self._flush_timeout_s) as connection:
            await connection.execute(_INSERT_OFFSETS, LAYOUT, topics, ids, numbers)
            found = await connection.fetch(_SELECT_OFFSETS, LAYOUT, ids, numbers)
        offsets = {(row["topic_id"], row["partition"]): row["next"] for row in found}
        return {partition: offsets[topic_ids[partition.topic], partition.partition] for partition in ordered}

    async def put(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        """Stores the spans in one transaction; returns the offset that the database has for each partition now.

        It is the span's end where the rows were stored. Any other says that the database had already left the span's
        start, and that nothing of this span was stored.

        Raises:
            TransientError: nothing is stored, or the answer to the COMMIT was lost. Put again: what was stored after
                all has moved its offset, and is not stored twice.
            CopyRefusedError: nothing is stored; `refused` finds out why.
        """
        async with self._database.connection("Storing events", within_s=self._flush_timeout_s) as connection:
            days = days_of(chain.from_iterable(span.rows for span in spans))
            await self._days.ensure(connection, days)
            try:
                return await self._transact(connection, spans, _copy)
            except CopyRefusedError as error:
                if isinstance(error.__cause__, pg.CheckViolationError):
                    # Most likely a partition that was dropped since: retention is somebody else's business.
                    self._days.forget()
                    await self._days.ensure(connection, days)
                elif not isinstance(error.__cause__, pg.UniqueViolationError):
                    raise
                else:
                    log.warning("a uid is stored already, its row is left as it is", said=str(error.__cause__))
            # Such a uid is that of a dead letter that was sent back twice.
            return await self._transact(connection, spans, _copy_what_is_new)

    async def refused(self, rows: Sequence[Cells]) -> list[tuple[int, Exception]]:
        """Which of these rows Postgres refuses, one by one, and why. Stores nothing."""
        async with self._database.connection(
            "Looking for a row that Postgres refuses", within_s=_SEARCH_S
        ) as connection:

            async def probe(some: Sequence[Cells]) -> Exception | None:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    await _copy_what_is_new(connection, some)
                except CopyRefusedError as error:
                    return cast("Exception", error.__cause__)
                finally:
                    await transaction.rollback()
                return None

            return await find_refused(rows, probe)

    async def close(self) -> None:
        await self._database.close()

    async def _transact(self, connection: "Connection", spans: Sequence[Span], copy: Copy) -> dict[TopicPartition, int]:
        """
        1. Lock the partitions' offsets, in one order for all, and keep the spans that start where they stand.
        2. Move those offsets to the spans' ends.
        3. Copy the rows.
        4. Commit.
        """
        async with connection.transaction():
            ids, numbers = [span.topic_id for span in spans], [span.partition.partition for span in spans]
            locked = await connection.fetch(_SELECT_OFFSETS + " FOR UPDATE", LAYOUT, ids, numbers)
            offsets = {(row["topic_id"], row["partition"]): row["next"] for row in locked}
            if len(offsets) != len(spans):
                raise PermanentError(
                    f"the table `offsets` at {self._database.where} has lost the rows of partitions that are being "
                    "stored: somebody deleted them. Restart the sink to begin at 0 again, or restore them"
                )
            ours = [span for span in spans if offsets[span.topic_id, span.partition.partition] == span.start]
            now = {span.partition: offsets[span.topic_id, span.partition.partition] for span in spans}
            if ours:
                await connection.execute(
                    _MOVE_OFFSETS,
                    LAYOUT,
                    [span.topic_id for span in ours],
                    [span.partition.partition for span in ours],
                    [span.start for span in ours],
                    [span.end for span in ours],
                )
                rows = list(chain.from_iterable(span.rows for span in ours))
                if rows:
                    await copy(connection, rows)
                failpoints.hit("sink-postgres.before-commit")
        if ours:
            failpoints.hit("sink-postgres.after-commit")
        return now | {span.partition: span.end for span in ours}


async def _copy(connection: "Connection", rows: Sequence[Cells], table: str = "events") -> None:
    try:
        await connection.copy_records_to_table(table, records=rows, columns=COLUMNS)
    except _REFUSALS as error:
        raise CopyRefusedError from error


async def _copy_what_is_new(connection: "Connection", rows: Sequence[Cells]) -> None:
    """By a detour, which costs about as much again: COPY knows no ON CONFLICT."""
    await connection.execute("CREATE TEMPORARY TABLE incoming (LIKE events) ON COMMIT DROP")
    await _copy(connection, rows, "incoming")
    names = ", ".join(COLUMNS)
    try:
        await connection.execute(f"INSERT INTO events ({names}) SELECT {names} FROM incoming ON CONFLICT DO NOTHING")  # noqa: S608  our own names
    except _REFUSALS as error:
        raise CopyRefusedError from error


_INSERT_OFFSETS = """
    INSERT INTO offsets (layout, topic, topic_id, partition, next)
    SELECT $1, topic, topic_id, partition, 0
    FROM unnest($2::text[], $3::text[], $4::int[]) AS wanted (topic, topic_id, partition)
    ON CONFLICT DO NOTHING
"""
_SELECT_OFFSETS = """
    SELECT topic_id, partition, next FROM offsets
    WHERE layout = $1 AND (topic_id, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
    ORDER BY topic_id, partition
"""
_MOVE_OFFSETS = """
    UPDATE offsets SET next = moved.stop, updated_at = now()
    FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS moved (topic_id, partition, start, stop)
    WHERE layout = $1 AND offsets.topic_id = moved.topic_id AND offsets.partition = moved.partition
        AND offsets.next = moved.start
"""
