"""Reads everything once more and holds every hop's output against its own input."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg

from tests.chaos.doors import Doors, judge_doors
from tests.chaos.follower import Follower
from tests.chaos.judge import Finding, Seen, compare, compare_sets, originals, without
from tests.chaos.reader import LiveReader, read_all

_WITHIN_S = 60.0


async def verdict(environment: Mapping[str, str], doors: Doors, live: LiveReader, follower: Follower) -> list[Finding]:
    """A finding per hop, the doors first. Each is judged by what its input really holds, so that a fault shows where it
    was made."""
    servers = environment["PENSTOCK_BOOTSTRAP_SERVERS"]
    raw, unique, duplicates, late, enriched, scored = [
        await asyncio.to_thread(read_all, servers, f"events.{topic}")
        for topic in ("raw", "unique", "duplicates", "late", "enriched", "scored")
    ]
    letters = {
        f"dlq.{stage}": await asyncio.to_thread(read_all, servers, f"dlq.{stage}")
        for stage in ("ingest", "dedup", "enrich", "sentiment", "sink-postgres")
    }
    dead = {topic.removeprefix("dlq."): {record.uid for record in found} for topic, found in letters.items()}
    fresh, again = originals(without(raw, dead["dedup"]))
    await _caught_up(live, follower, scored)
    return [
        *judge_doors(doors, {"raw": raw, "unique": unique, "duplicates": duplicates, **letters}),
        compare("raw -> unique", fresh, unique),
        compare("raw -> duplicates", again, duplicates),
        compare("raw -> late", [], late),
        compare("unique -> enriched", without(unique, dead["enrich"]), enriched),
        compare("enriched -> scored", without(enriched, dead["sentiment"]), scored),
        compare("scored -> a reader that was there all the time", scored, live.seen),
        compare_sets("scored -> Postgres", without(scored, dead["sink-postgres"]), await _rows(environment)),
        _of_follower(
            compare_sets("scored -> WebSocket (at least once)", scored, dict.fromkeys(follower.uids, 1)), follower
        ),
    ]


def _of_follower(found: Finding, follower: Follower) -> Finding:
    """What a slow client was told that it lost is not lost in silence."""
    return replace(found, lost=max(0, found.lost - follower.dropped))


async def _caught_up(live: LiveReader, follower: Follower, scored: Sequence[Seen]) -> None:
    """Gives both followers the time to see the last record, as long as it still grows in number."""
    deadline_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline_s:
        if len(live.seen) >= len(scored) and len(follower.uids) >= len({record.uid for record in scored}):
            return
        await asyncio.sleep(0.1)


async def _rows(environment: Mapping[str, str]) -> "Counter[bytes]":
    connection = await asyncpg.connect(environment["PENSTOCK_POSTGRES_DSN"])
    try:
        return Counter(bytes(row["uid"]) for row in await connection.fetch("SELECT uid FROM events"))
    finally:
        await connection.close()
