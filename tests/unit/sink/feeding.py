"""Recorded events as records of events.scored, for the sinks' tests."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from penstock.event_input import parse_event
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder
from penstock.stream.port import TIMESTAMP_MS, TopicPartition
from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Skipped
from services.sink.intake import Intake

ROOT = Path(__file__).resolve().parents[3]
SCORED = "events.scored"
P0, P1, P2 = (TopicPartition(SCORED, number) for number in range(3))
TOPIC_IDS = {SCORED: "dGhlLXRvcGljLWlkLTAwMQ", "retry.sink-postgres": "cmV0cnktdG9waWMtaWQtMQ"}
HOUR_MS = 1_420_070_400_000
"""2015-01-01 00:00 UTC, the hour of the recording."""
DAY_MS = 86_400_000
SCHEMA_ID = 7


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """The read side of `confluent_kafka.Message`."""

    at: TopicPartition
    position: int
    content: bytes | None
    ingested_at_ms: int
    headers_list: list[tuple[str, bytes | None]] = field(default_factory=list)

    def topic(self) -> str:
        return self.at.topic

    def partition(self) -> int:
        return self.at.partition

    def offset(self) -> int:
        return self.position

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.headers_list

    def timestamp(self) -> tuple[int, int]:
        return (TIMESTAMP_MS, self.ingested_at_ms)


class OneSchema:
    """A registry that knows the newest ScoredEvent, under `SCHEMA_ID`."""

    async def schema(self, schema_id: int) -> Mapping[str, Any]:
        assert schema_id == SCHEMA_ID
        return files.latest("scored_event")


def intake() -> Intake:
    return Intake(Decoder(OneSchema(), "scored_event"))


@cache
def codec() -> Codec:
    return Codec(SCHEMA_ID, files.latest("scored_event"))


@cache
def recorded() -> tuple[dict[str, Any], ...]:
    """The recorded GitHub events of samples/, as ScoredEvents, all taken in at `HOUR_MS`."""
    found = []
    for path in find_files([str(ROOT / "samples/github")]):
        parser = PARSERS["github"](path)
        for line in Lines(path):
            parsed = parser.parse(line) if line else []
            if not isinstance(parsed, Skipped):
                found += [scored(parse_event(fields, HOUR_MS + DAY_MS).to_record()) for fields in parsed]
    return tuple(found)


def events(count: int) -> Iterator[dict[str, Any]]:
    """The first `count` recorded events; from the start again, under new ids, when they are used up."""
    for index in range(count):
        turn, at = divmod(index, len(recorded()))
        event = recorded()[at]
        yield {**event, "id": f"{event['id']}-{turn}"} if turn else dict(event)


def scored(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **event,
        "ingested_at": HOUR_MS,
        "language": {"code": "en", "confidence": 0.5} if event["text"] else None,
        "entities": [],
        "keywords": [],
        "topics": [],
        "place": None,
        "sentiment": None,
    }


def record(
    event: Mapping[str, Any], offset: int, at: TopicPartition = P0, *, ingested_at_ms: int | None = None
) -> StoredRecord:
    """The record that carries `event`, with a uid of its own."""
    uid = hashlib.blake2b(f"{at}@{offset}".encode(), digest_size=16).digest()
    headers: list[tuple[str, bytes | None]] = [("uid", uid), ("source", event["source"].encode())]
    timestamp = event["ingested_at"] if ingested_at_ms is None else ingested_at_ms
    return StoredRecord(at, offset, codec().encode(event), timestamp, headers)


def records(count: int, at: TopicPartition = P0, *, first: int = 0) -> list[StoredRecord]:
    """Recorded events at offsets `first`, `first + 1`, ..."""
    return [record(event, first + index, at) for index, event in enumerate(events(count))]


def uids(stored: Iterable[StoredRecord]) -> set[bytes]:
    return {value for one in stored for name, value in one.headers_list if name == "uid" and value is not None}
