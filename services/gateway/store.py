"""The sink's Postgres, as far as the gateway reads it: a few connections, every query with a time limit."""

from collections.abc import Mapping, Sequence

import asyncpg

from penstock.errors import PermanentError, ThrottledError, TransientError
from services.gateway.query import Search, sql

QUERY_TIMEOUT_S = 3.0
_CONNECT_TIMEOUT_S = 2.0
_CONNECTIONS = 4

Row = Mapping[str, object]


class Store:
    """Holds no connection before the first question, and makes new ones where old ones broke."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def search(self, search: Search) -> Sequence[Row]:
        """
        Raises:
            ThrottledError: every connection is busy.
            TransientError: Postgres does not answer.
            PermanentError: the query ran into its time limit, or the table is not there.
        """
        text, arguments = sql(search)
        try:
            async with self._pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection:
                return [dict(row) for row in await connection.fetch(text, *arguments, timeout=QUERY_TIMEOUT_S + 1)]
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
