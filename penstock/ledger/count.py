"""The whole count: every account of every source, from topics, table and files, again and again until it balances."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.clock import Clock
from penstock.errors import TransientError
from penstock.lake.store import open_store
from penstock.ledger.accounts import ALL_STAGES, OUTSIDE, SINKS, Problem, by_source, judge
from penstock.ledger.decoding import Decoders
from penstock.ledger.expectation import Expectation, compare
from penstock.ledger.identity import Cut
from penstock.ledger.kafka_reader import KafkaReader
from penstock.ledger.letter_count import LetterCount
from penstock.ledger.parquet import ParquetCount
from penstock.ledger.postgres import PostgresCount
from penstock.ledger.tally import Tally
from penstock.ledger.topics import (
    AuditCounter,
    Counter,
    HeaderCounter,
    LetterCounter,
    Progress,
    TopicCount,
    first_times,
    retried_time_ms,
)

_AUDIT = "audit"
TOPICS: Mapping[str, str] = {
    "raw": "events.raw",
    "duplicate": "events.duplicates",
    "late": "events.late",
    "dlq.ingest": "dlq.ingest",
    "dlq.dedup": "dlq.dedup",
    "unique": "events.unique",
    "dlq.enrich": "dlq.enrich",
    "retry.enrich": "retry.enrich",
    "enriched": "events.enriched",
    "dlq.sentiment": "dlq.sentiment",
    "retry.sentiment": "retry.sentiment",
    "scored": "events.scored",
    "dlq.sink-postgres": "dlq.sink-postgres",
    "retry.sink-postgres": "retry.sink-postgres",
    "dlq.sink-s3": "dlq.sink-s3",
    "retry.sink-s3": "retry.sink-s3",
    _AUDIT: "dlq.audit",
}
"""Account to topic, in flow order. Each topic's end is taken when it is its turn: what a later one holds has then had
the time it took to count the earlier ones. The audit comes last: it names every letter that was gone from its topic by
then."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is that is counted. `sinks` are the stores that are judged, keys of `accounts.SINKS`."""

    bootstrap_servers: str
    postgres_dsn: str
    object_store_url: str
    sinks: Collection[str] = tuple(SINKS)
    topics: Mapping[str, str] = field(default_factory=lambda: TOPICS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`books` has a book per source; see `accounts`. It balances if there is no problem."""

    cut: Cut
    sinks: Collection[str]
    books: Mapping[str, Mapping[str, Tally]]
    problems: Sequence[Problem]

    @property
    def balanced(self) -> bool:
        return not self.problems


class Ledger:
    """One cut, counted as often as asked; each time only what is new is read, but for the table.

    Made by `open_ledger`; `close` it.
    """

    def __init__(
        self,
        places: Places,
        cut: Cut,
        reader: KafkaReader,
        topics: Mapping[str, TopicCount],
        letters: Mapping[str, LetterCount],
        expected: Sequence[Expectation],
    ) -> None:
        """`letters` has a count per stage, which the counters of `topics` feed."""
        self._places = places
        self._cut = cut
        self._reader = reader
        self._topics = topics
        self._letters = letters
        self._expected = expected
        self._postgres = PostgresCount(places.postgres_dsn) if "postgres" in places.sinks else None
        self._parquet = (
            ParquetCount(
                open_store(places.object_store_url), [places.topics["scored"], places.topics["retry.sink-s3"]], cut
            )
            if "parquet" in places.sinks
            else None
        )

    async def count(self, progress: Progress) -> Verdict:
        """Raises PenstockError; after one, this ledger is not to be used any more but for `close`."""
        for topic in self._topics.values():
            await topic.advance(progress)
        counts = {account: topic.read() for account, topic in self._topics.items()}
        counts |= {f"purged.{stage}": letters.purged() for stage, letters in self._letters.items()}
        counts[f"retry.{OUTSIDE}"] = self._letters[OUTSIDE].retried()
        damaged: list[Problem] = []
        if self._postgres is not None:
            progress("postgres", 0, 1)
            counts["postgres"] = await self._postgres.count(self._cut)
        if self._parquet is not None:
            counts["parquet"] = await self._parquet.count(progress)
            damaged = self._parquet.problems()
        books = by_source(counts)
        problems = judge(books, self._places.sinks) + compare(books, self._expected) + damaged
        return Verdict(self._cut, self._places.sinks, books, _nothing_left(self._cut) + problems)

    async def close(self) -> None:
        await self._reader.close()


async def open_ledger(
    places: Places, expected: Sequence[Expectation], decoders: Decoders, as_of_ms: int, since_ms: int | None
) -> Ledger:
    """Finds from when on all topics hold everything, and cuts there, or at `since_ms` where that is later."""
    reader = KafkaReader(places.bootstrap_servers)
    try:
        facts = await reader.facts(list(places.topics.values()))
        begins = await reader.begins([tp for fact in facts.values() for tp in fact.partitions])
        shortened = {tp.topic for tp, begin in begins.items() if begin > 0}
        retention_ms = await reader.retention_ms(shortened) if shortened else {}
        by_ingest_time = [topic for account, topic in places.topics.items() if "." not in account and account != _AUDIT]
        held = await first_times(reader, begins, retention_ms, by_ingest_time, as_of_ms)
        starts = [*held.values(), *([] if since_ms is None else [since_ms])]
        cut = Cut(max(starts, default=None), as_of_ms)
        letters = {stage: LetterCount() for stage in ALL_STAGES}
        topics = {
            account: TopicCount(reader, facts[topic], begins, _counter(account, cut, decoders, letters))
            for account, topic in places.topics.items()
        }
        return Ledger(places, cut, reader, topics, letters, expected)
    except BaseException:
        await reader.close()
        raise


def _counter(account: str, cut: Cut, decoders: Decoders, letters: Mapping[str, LetterCount]) -> Counter:
    kind, _, stage = account.partition(".")
    match kind:
        case "dlq":
            return LetterCounter(cut, decoders.letters, letters[stage])
        case "retry":
            return HeaderCounter(cut, retried_time_ms)
        case _ if account == _AUDIT:
            return AuditCounter(cut, decoders.actions, letters)
        case _:
            return HeaderCounter(cut)


async def until_balanced(
    opening: Callable[[], Awaitable[Ledger]],
    timeout_s: float,
    clock: Clock,
    progress: Progress,
    told: Callable[[Verdict | TransientError], None],
    *,
    pause_s: float = 0.25,
) -> Verdict:
    """The first balanced verdict, or the last one within `timeout_s`; at least one.

    `told` gets every verdict on the way, and what kept a count from its end. Pauses twice as long as a count takes, so
    that watching costs a third at most.

    Raises:
        PenstockError: a store could not be read. A transient error ends it only if Kafka does not answer at the very
            start, or once the time is up.
    """
    deadline_s = clock.monotonic_s() + timeout_s
    ledger = await opening()
    usable = True
    try:
        while True:
            started_s = clock.monotonic_s()
            try:
                if not usable:
                    await ledger.close()
                    ledger, usable = await opening(), True
                verdict = await ledger.count(progress)
                told(verdict)
                if verdict.balanced or clock.monotonic_s() >= deadline_s:
                    return verdict
            except TransientError as error:
                if clock.monotonic_s() >= deadline_s:
                    raise
                told(error)
                usable = False
            now_s = clock.monotonic_s()
            await asyncio.sleep(min(max(pause_s, 2 * (now_s - started_s)), max(deadline_s - now_s, 0.0)))
    finally:
        await ledger.close()


def _nothing_left(cut: Cut) -> list[Problem]:
    if cut.from_ms is None or cut.from_ms < cut.to_ms:
        return []
    look = "Count again when newer events have come"
    detail = "the topics' oldest records were deleted so late that no time is held by all of them"
    return [Problem("*", "a time that every store still holds", 0, detail, look)]
