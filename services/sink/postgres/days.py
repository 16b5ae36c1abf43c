"""The partitions of the table `events`: one per UTC day, made when the first row of a day comes."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import TYPE_CHECKING

import asyncpg

from services.sink.postgres.migrate import LOCK

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]


class Days:
    """Remembers which days have a partition; makes those that are missing."""

    def __init__(self) -> None:
        self._known: set[date] = set()

    def forget(self) -> None:
        """Somebody dropped a partition: look again."""
        self._known.clear()

    async def ensure(self, connection: "Connection", days: Collection[date]) -> None:
        """Makes the partitions of `days` in a transaction of its own; several instances may do it at once.

        The new table is made first and attached then: unlike CREATE TABLE ... PARTITION OF, that locks out neither
        readers nor writers of the other days.
        """
        missing = sorted(set(days) - self._known)
        if not missing:
            return
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            for day in missing:
                name = f"events_{day:%Y%m%d}" if day.year >= 1000 else f"events_{day.year:04d}{day:%m%d}"
                if not await connection.fetchval(_IS_PARTITION, name):
                    end = "MAXVALUE" if day == date.max else f"'{(day + timedelta(days=1)).isoformat()}'"
                    await connection.execute(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)")
                    await connection.execute(
                        f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{day.isoformat()}') TO ({end})"
                    )
        self._known.update(missing)


_IS_PARTITION = """
    SELECT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'events'::regclass AND inhrelid = to_regclass($1)
    )
"""
