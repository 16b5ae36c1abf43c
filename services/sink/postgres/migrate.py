"""Brings the database to the newest schema; any number of instances may do it at once."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x70656E73746F636B
"""`penstock` in ASCII: the advisory lock under which the schema is changed, partitions included."""


async def migrate(dsn: str, *, timeout_s: float) -> None:
    """Runs what is missing in one transaction under `LOCK`; the second of two instances finds nothing left to do.

    Raises what asyncpg raises.
    """

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn, timeout=timeout_s, command_timeout=timeout_s)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            await connection.run_sync(_upgrade)
    except DBAPIError as error:
        # SQLAlchemy's wrapping of SQLAlchemy's wrapping of what asyncpg said.
        said = error.orig.__cause__ if error.orig is not None else None
        raise said or error from None
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
