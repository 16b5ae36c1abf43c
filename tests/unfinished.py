"""What a killed process has left unfinished: how a test shows that the kill came in the middle of a transaction."""

import asyncio
from collections.abc import Collection, Iterable

import asyncpg
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported, untyped

OPEN_AT = frozenset({"after-produce", "before-commit"})
"""Failpoints of the loop at which the broker holds records of a transaction that nobody has ended.

At the others it holds none when they are passed first; after a commit, perhaps for a moment, until its markers are
written.
"""
_TIMEOUT_S = 30.0


def open_transactions(bootstrap_servers: str, topics: Collection[str]) -> set[str]:
    """Those of the topics whose end a read_committed reader cannot reach."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    known = admin.list_topics(timeout=_TIMEOUT_S).topics
    places = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
    stable = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    end = _ends(admin, places, IsolationLevel.READ_UNCOMMITTED)
    return {topic for (topic, number), offset in stable.items() if offset < end[topic, number]}


def _ends(
    admin: AdminClient, places: Iterable[TopicPartition], isolation: IsolationLevel
) -> dict[tuple[str, int], int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client has no types here
    asked = admin.list_offsets(dict.fromkeys(places, latest), isolation_level=isolation, request_timeout=_TIMEOUT_S)
    return {(at.topic, at.partition): answer.result(_TIMEOUT_S).offset for at, answer in asked.items()}


async def rows_rolled_back(dsn: str) -> int:
    """How many events were written into the database and are not in it; waits until there are some.

    Postgres counts a row when it is inserted, whatever becomes of its transaction; it is told of those of a lost
    connection once it has noticed.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                inserted = await connection.fetchval(
                    "SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'events%'"
                )
                lost = int(inserted) - int(await connection.fetchval("SELECT count(*) FROM events"))
                if lost > 0:
                    return lost
                await asyncio.sleep(0.2)
    finally:
        await connection.close()
