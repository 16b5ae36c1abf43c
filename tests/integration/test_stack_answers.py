"""The stack that other tests stand on answers on every protocol."""

from urllib.request import urlopen

import asyncpg
import pytest

from penstock.stream.probe import require_metadata, require_transactions
from tests.conftest import RunningStack

pytestmark = pytest.mark.integration


def test_kafka_runs_transactions(stack: RunningStack) -> None:
    require_metadata(stack.bootstrap_servers, 5.0)
    require_transactions(stack.bootstrap_servers, "penstock.probe.test", 5.0)


def test_the_registry_lists_subjects(stack: RunningStack) -> None:
    with urlopen(f"{stack.schema_registry_url}/subjects", timeout=5) as response:  # noqa: S310  it is http
        assert response.status == 200


async def test_postgres_has_the_database(stack: RunningStack) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        assert await connection.fetchval("SELECT current_database()") == "penstock"
        assert str(await connection.fetchval("SHOW server_version")).startswith("18.")
    finally:
        await connection.close()
