"""The sink's Postgres, as far as the gateway reads it: a few connections, every query with a time limit."""

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from penstock.errors import PermanentError, ThrottledError, TransientError
from services.gateway.query import MAX_PAGE_BYTES, Search, size_bytes, sql

QUERY_TIMEOUT_S = 3.0
_ROWS_AT_ONCE = 10
"""Each may be as large as an event: so many are in memory before they are counted."""
_CONNECT_TIMEOUT_S = 2.0
_CONNECTIONS = 4

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    rows: Sequence[Row]
    more: bool
    """Whether the page ended because it was full."""


class Store:
    """Holds no connection before the first question, and makes new ones where old ones broke."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def search(self, search: Search) -> Found:
        """One page, of `limit` rows and MAX_PAGE_BYTES at most, but of one row at least if there is one.

        Raises:
            ThrottledError: every connection is busy.
            TransientError: Postgres does not answer.
            PermanentError: the query ran into its time limit, or the table is not there.
        """
        text, arguments = sql(search)
        try:
            async with (
                self._pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection,
                asyncio.timeout(QUERY_TIMEOUT_S + 1),
                connection.transaction(readonly=True),
            ):
                return await _page(connection.cursor(text, *arguments, prefetch=_ROWS_AT_ONCE), search.limit)
        except asyncpg.QueryCanceledError:
            raise PermanentError(
                f"the search took more than {QUERY_TIMEOUT_S:.0f} s; name a source or fewer days"
            ) from None
        except asyncpg.UndefinedTableError:
            raise PermanentError("there is no table `events`: sink-postgres has not run yet") from None
        except TimeoutError:
            raise ThrottledError("the database is busy", retry_after_s=1.0) from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise TransientError(f"Postgres does not answer: {error}") from error

    async def ping(self) -> None:
        async with self._pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection:
            await connection.fetchval("SELECT 1", timeout=_CONNECT_TIMEOUT_S)

    def close(self) -> None:
        self._pool.terminate()


async def _page(records: AsyncIterable["asyncpg.Record"], limit: int) -> Found:
    page: list[Row] = []
    room = MAX_PAGE_BYTES
    async for record in records:
        row = dict(record)
        room -= size_bytes(row)
        if page and room < 0:
            return Found(page, more=True)
        page.append(row)
    return Found(page, more=len(page) == limit)


async def open_store(dsn: str) -> Store:
    """Makes no connection yet: the gateway starts, and goes on, without its database.

    Raises:
        ValueError: `dsn` is not a Postgres URL.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=_CONNECTIONS,
        timeout=_CONNECT_TIMEOUT_S,
        server_settings={
            "application_name": "penstock-gateway",
            "statement_timeout": str(int(QUERY_TIMEOUT_S * 1000)),
            "default_transaction_read_only": "on",
        },
    )
    return Store(pool)
