"""The recorded events of samples/, as records of events.scored that were read already."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from penstock.event_input import parse_event
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder
from penstock.stream import headers
from penstock.stream.port import TIMESTAMP_MS, TopicPartition
from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Skipped

SAMPLES = Path(__file__).parents[1] / "samples"
TOPIC = "events.scored"
TOPIC_IDS = {TOPIC: "bG9hZHRlc3QtdG9waWMtaQ"}
INGESTED_MS = 1_767_225_600_000
_SCHEMA_ID = 1


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """The read side of `confluent_kafka.Message`."""

    place: TopicPartition
    position: int
    content: bytes
    told: list[tuple[str, bytes | None]]

    def topic(self) -> str:
        return self.place.topic

    def partition(self) -> int:
        return self.place.partition

    def offset(self) -> int:
        return self.position

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.told

    def timestamp(self) -> tuple[int, int]:
        return (TIMESTAMP_MS, INGESTED_MS)


class _OneSchema:
    async def schema(self, _schema_id: int) -> Mapping[str, Any]:
        return files.latest("scored_event")


def decoder() -> Decoder:
    return Decoder(_OneSchema(), "scored_event")


def scored_records(count: int, partitions: int) -> list[ReadRecord]:
    """In turn over the partitions; sources in turn, too, as the recordings hold them."""
    codec = Codec(_SCHEMA_ID, files.latest("scored_event"))
    recorded = [event for source in sorted(PARSERS) for event in _events(source)]
    # Every nth, so that a count below the recording's still has all sources in it.
    stride = 7919
    picked = (recorded[index * stride % len(recorded)] for index in cycle(range(len(recorded))))
    sent = [0] * partitions
    made = []
    for index, event in enumerate(islice(picked, count)):
        partition = index % partitions
        told: list[tuple[str, bytes | None]] = [
            (headers.UID, index.to_bytes(16, "big")),
            (headers.SOURCE, event["source"].encode()),
        ]
        place = TopicPartition(TOPIC, partition)
        made.append(ReadRecord(place, sent[partition], codec.encode(event), told))
        sent[partition] += 1
    return made


def _events(source: str) -> list[dict[str, Any]]:
    found = []
    for path in find_files([str(SAMPLES / source)]):
        parser = PARSERS[source](path)
        for line in Lines(path):
            parsed = parser.parse(line) if line else []
            if not isinstance(parsed, Skipped):
                found += [_scored(parse_event(fields, INGESTED_MS).to_record()) for fields in parsed]
    return found


def _scored(event: Mapping[str, Any]) -> dict[str, Any]:
    """With what enrich and sentiment add today."""
    text = event["text"]
    return {
        **event,
        "ingested_at": INGESTED_MS,
        "language": {"code": "en", "confidence": 0.9} if text else None,
        "entities": [],
        "keywords": [],
        "topics": [],
        "place": None,
        "sentiment": {
            "label": "positive",
            "score": 0.5,
            "probabilities": {"negative": 0.1, "neutral": 0.3, "positive": 0.6},
            "emotions": {},
            "aspects": [],
            "sarcasm": None,
            "model": "lexicon",
        }
        if text
        else None,
    }
