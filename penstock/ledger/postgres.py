"""Counts the rows of the table `events`: the sums are made in the database, in whole numbers, and only they travel."""

from datetime import UTC, datetime

import asyncpg

from penstock.errors import PenstockError, SystemFaultError, TransientError
from penstock.ledger.identity import Cut
from penstock.ledger.tally import Tally

_QUERY_TIMEOUT_S = 300.0

# The halves of SHA-256 as signed 64-bit numbers, as `penstock.ledger.tally` reads them; sum(bigint) is exact.
_SUMS = """
SELECT source,
       count(*) AS count,
       sum(('x' || encode(substring(digest FROM 1 FOR 8), 'hex'))::bit(64)::bigint) AS high,
       sum(('x' || encode(substring(digest FROM 9 FOR 8), 'hex'))::bit(64)::bigint) AS low
FROM (
    SELECT source, sha256(uid) AS digest
    FROM events
    WHERE ($1::timestamptz IS NULL OR (ingested_at >= $1 AND day >= ($1 AT TIME ZONE 'UTC')::date))
      AND ingested_at <= $2
) AS rows
GROUP BY source
"""


class PostgresCount:
    """Counts anew each time: rows have no order in which one could go on."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def count(self, cut: Cut) -> dict[str, Tally]:
        """Source to tally. A table that was never made holds nothing.

        Raises:
            TransientError: the database is away.
            SystemFaultError: it refuses us, or there is no such database.
        """
        try:
            connection = await asyncpg.connect(self._dsn, timeout=10.0, command_timeout=_QUERY_TIMEOUT_S)
            try:
                rows = await connection.fetch(_SUMS, _moment(cut.from_ms), _moment(cut.to_ms))
            finally:
                await connection.close(timeout=5.0)
        except asyncpg.UndefinedTableError:
            return {}
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise _explain(error) from error
        return {row["source"]: Tally.of_halves(row["count"], int(row["high"]), int(row["low"])) for row in rows}


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _explain(error: Exception) -> PenstockError:
    text = f"counting the rows of table events in Postgres: {error}"
    refused = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
    if isinstance(error, (*refused, asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedColumnError)):
        return SystemFaultError(f"{text}; check PENSTOCK_POSTGRES_DSN and that its migrations are this version's")
    return TransientError(f"{text}; is it running (`penstock status`)?")
