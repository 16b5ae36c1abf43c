"""Dead letters as the ledger and the command line see them: decoded, each with the place of its original."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.ledger.identity import Place


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of dlq.<stage>; the fields of schemas/avro/dead_letter and where the letter itself stands.

    `origin` is the place of the original, None where that never was in Kafka. Times are ms since 1970-01-01 UTC.
    """

    stage: str
    dlq_topic: str
    dlq_partition: int
    dlq_offset: int
    topic: str | None
    origin: Place | None
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    value_size: int | None
    headers: tuple[tuple[str, bytes | None], ...]
    category: str
    reason: str
    detail: str
    field: str | None
    attempts: int
    uid: bytes | None
    source: str | None
    failed_at_ms: int

    @property
    def id(self) -> str:
        """How the command line names this letter: `<stage>/<partition>/<offset>` in its dead-letter topic."""
        return f"{self.stage}/{self.dlq_partition}/{self.dlq_offset}"

    def place(self, dlq_topic_id: str) -> Place:
        """What it is counted by, once: the place of its original, its own where that never was in Kafka."""
        return self.origin or Place(dlq_topic_id, self.dlq_partition, self.dlq_offset)


def letter_of(record: Mapping[str, Any], topic: str, partition: int, offset: int) -> DeadLetter:
    """From a decoded record of `topic`. The stage is the topic's, whatever the letter says."""
    topic_id, at_partition, at_offset = record["topic_id"], record["partition"], record["offset"]
    known = topic_id is not None and at_partition is not None and at_offset is not None
    return DeadLetter(
        stage=topic.rpartition("dlq.")[2],
        dlq_topic=topic,
        dlq_partition=partition,
        dlq_offset=offset,
        topic=record["topic"],
        origin=Place(topic_id, at_partition, at_offset) if known else None,
        timestamp_ms=record["failed_at"] if record["timestamp"] is None else record["timestamp"],
        key=record["key"],
        value=record["value"],
        value_size=record["value_size"],
        headers=tuple((header["key"], header["value"]) for header in record["headers"]),
        category=record["category"],
        reason=record["reason"],
        detail=record["detail"],
        field=record["field"],
        attempts=record["attempts"],
        uid=record["uid"],
        source=record["source"],
        failed_at_ms=record["failed_at"],
    )
