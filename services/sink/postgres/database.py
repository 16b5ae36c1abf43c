"""One connection to Postgres that comes back after it was lost, and what the database's errors mean."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import asyncpg
from asyncpg import exceptions as pg
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from penstock.dependency import Attempting
from penstock.errors import PermanentError, TransientError
from penstock.retries import BeforeSleep
from services.sink.postgres.migrate import migrate

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_CONNECT_S = 5.0
_ATTEMPTS = 3
_MIGRATE_S = 60.0

_AWAY = (
    OSError,
    TimeoutError,
    pg.PostgresConnectionError,
    pg.InterfaceError,
    pg.InternalClientError,
    pg.OperatorInterventionError,  # shutting down, starting up, cancelled by a time-out
    pg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    pg.TransactionRollbackError,  # deadlock, serialisation
    pg.LockNotAvailableError,
    pg.ReadOnlySQLTransactionError,  # a failover left us with a replica
    pg.IdleInTransactionSessionTimeoutError,
    pg.TransactionTimeoutError,
)


class Database:
    """
    Args:
        dsn: `postgresql://user:password@host:port/database`, or what else asyncpg takes.
        statement_timeout_s: for each statement, enforced by the server, and with some slack here.
        attempting: goes around each use of the connection.
    """

    def __init__(self, dsn: str, *, statement_timeout_s: float, attempting: Attempting = nullcontext) -> None:
        self._dsn = dsn
        self._statement_timeout_s = statement_timeout_s
        self._attempting = attempting
        self._connection: Connection | None = None
        self._migrated = False

    @asynccontextmanager
    async def connection(self, doing: str, *, within_s: float) -> AsyncIterator["Connection"]:
        """The connection, for one caller at a time; a lost one is made anew first.

        What goes wrong with the database comes out as an error of ours that names `doing`. After that the connection
        is thrown away: its state is unknown. Any other exception of the caller's own passes, and it is kept.

        Raises:
            TransientError: it is away, or overloaded, or did not answer `within_s`.
            PermanentError: it does not let us in, or lacks what the migrations made.
        """
        async with self._attempting() as before_sleep, self._explaining(doing, within_s, before_sleep) as connection:
            yield connection

    @asynccontextmanager
    async def _explaining(
        self, doing: str, within_s: float, before_sleep: BeforeSleep | None
    ) -> AsyncIterator["Connection"]:
        try:
            async with asyncio.timeout(within_s):
                connection = await self._open(before_sleep)
                yield connection
        except pg.ClientConfigurationError as error:
            raise PermanentError(f"PENSTOCK_POSTGRES_DSN is no address of a database: {_said(error)}") from error
        except _AWAY as error:
            self.discard()
            raise TransientError(f"{doing} failed, Postgres at {self.where} is away or busy: {_said(error)}") from error
        except pg.PostgresError as error:
            self.discard()
            raise PermanentError(
                f"{doing} failed, Postgres at {self.where} says: {_said(error)}. Check PENSTOCK_POSTGRES_DSN, the "
                "rights of its user, and that nobody changed the tables"
            ) from error
        except asyncio.CancelledError:
            self.discard()
            raise

    @property
    def where(self) -> str:
        """The address without its password."""
        return self._dsn.rpartition("@")[2] or "its default address"

    def discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=2)
            except _AWAY:
                connection.terminate()

    async def _open(self, before_sleep: BeforeSleep | None) -> "Connection":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        # A hiccup is bridged here; a database that stays away is the loop's business, which polls on meanwhile.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _AWAY)),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            stop=stop_after_attempt(_ATTEMPTS),
            before_sleep=before_sleep,
            reraise=True,
        ):
            with attempt:
                if not self._migrated:
                    await migrate(self._dsn, timeout_s=_MIGRATE_S)
                    self._migrated = True
                self._connection = await self._connect()
        assert self._connection is not None  # noqa: S101  the loop above returns or raises
        return self._connection

    async def _connect(self) -> "Connection":
        timeout_ms = str(int(self._statement_timeout_s * 1000))
        connection = await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_S,
            command_timeout=self._statement_timeout_s + 5,
            server_settings={
                "application_name": "penstock sink-postgres",
                "statement_timeout": timeout_ms,
                "lock_timeout": timeout_ms,
                # A process that was stopped in mid-transaction must not hold its rows' locks against its successor.
                "idle_in_transaction_session_timeout": timeout_ms,
                "timezone": "UTC",
            },
        )
        await use_codecs(connection)
        return connection


async def use_codecs(connection: "Connection") -> None:
    """Times and JSON go in the way columns.py makes them."""
    for kind in ("date", "timestamptz"):
        await connection.set_type_codec(kind, schema="pg_catalog", encoder=tuple, decoder=tuple, format="tuple")
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
