"""Which dead letters can go back to their stage, by which topic, and as what. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.ledger.accounts import ALL_STAGES, OUTSIDE
from penstock.ledger.letters import DeadLetter
from penstock.schema.catalogue import NEVER, Catalogue
from penstock.stream.headers import UID_BYTES
from penstock.stream.port import Headers, Outgoing
from penstock.stream.retried import TOPICS, added

INBOX = "events.inbox"
"""Where ingest's letters go: what it refused never was in Penstock, and comes in once more."""
TIME_TO_READ_MS = 24 * 60 * 60 * 1000
"""So long before the topics behind a stage would drop a record of its ingest time, it is not sent back any more."""
_OVERHEAD_BYTES = 128
"""Kafka's own bytes in a batch of one record, rounded up."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """The way back to one stage.

    Attributes:
        topic: where its letters go.
        max_bytes: of a record there.
        kept_ms: how long the topics that the stage writes keep a record, by its ingest time; None if it writes none, or
            sets the ingest time itself.
    """

    topic: str
    max_bytes: int
    kept_ms: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a letter is not sent back: a short stable name, and a sentence for the person who asked."""

    reason: str
    detail: str


def ways_back(catalogue: Catalogue) -> Mapping[str, WayBack]:
    """Stage to its way back, of all stages that have one."""
    known = {topic.name: topic for topic in catalogue.topics}
    found = {}
    for stage in ALL_STAGES:
        topic = known.get(INBOX if stage == OUTSIDE else f"{TOPICS}{stage}")
        if topic is None:
            continue
        kept = [
            other.retention_ms
            for other in catalogue.topics
            if stage in other.written_by and not other.name.startswith("dlq.") and other.retention_ms != NEVER
        ]
        kept_ms = None if stage == OUTSIDE else min(kept, default=None)
        found[stage] = WayBack(topic.name, topic.max_message_bytes, kept_ms)
    return found


def refusal(letter: DeadLetter, way: WayBack | None, max_attempts: int, now_ms: int) -> Refusal | None:
    """None for a letter that can go back."""
    if way is None:
        return Refusal(
            "purge-only", f"{letter.stage} judges a record by what came in beside it; its letters can only be purged"
        )
    if letter.value_size is not None:
        kept = len(letter.value or b"")
        return Refusal("cut", f"only {kept:,} of its {letter.value_size:,} bytes could be kept; it can only be purged")
    if letter.attempts >= max_attempts:
        return Refusal(
            "too-many-attempts",
            f"{letter.stage} has tried it {letter.attempts} times, and --max-attempts is {max_attempts}",
        )
    if letter.stage != OUTSIDE and (letter.uid is None or len(letter.uid) != UID_BYTES or not letter.source):
        return Refusal("no-identity", "it has no uid or no source, so the ledger could not follow it; purge it")
    if (size := _size_bytes(letter)) > way.max_bytes:
        return Refusal("too-large", f"it has {size:,} bytes, and {way.topic} takes {way.max_bytes:,}; purge it")
    if way.kept_ms is not None and letter.timestamp_ms < now_ms - way.kept_ms + TIME_TO_READ_MS:
        days = way.kept_ms / 86_400_000
        return Refusal(
            "too-old",
            f"the topics behind {letter.stage} keep a record for {days:g} days from its ingest time; it could be gone"
            " before it is read",
        )
    return None


def sent_back(letter: DeadLetter, way: WayBack, now_ms: int) -> Outgoing:
    """The original as it goes back: its key, value and headers, and how often it has been tried."""
    ingest_time_ms = None if letter.stage == OUTSIDE else letter.timestamp_ms
    return Outgoing(way.topic, letter.key, letter.value, _headers(letter, ingest_time_ms), now_ms)


def _headers(letter: DeadLetter, ingest_time_ms: int | None) -> Headers:
    return added(list(letter.headers), letter.attempts, ingest_time_ms)


def _size_bytes(letter: DeadLetter) -> int:
    headers = _headers(letter, letter.timestamp_ms)
    return (
        len(letter.value or b"")
        + len(letter.key or b"")
        + sum(len(name.encode("utf-8", "replace")) + len(value or b"") + 8 for name, value in headers)
        + _OVERHEAD_BYTES
    )
