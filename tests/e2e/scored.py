"""A topic of scored events for tests of what reads it: recorded events from samples/, as sentiment would send them."""

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.clock import SystemClock
from penstock.event_input import parse_event
from penstock.schema.codec import Codec, encoder
from penstock.schema.registry import Registry
from penstock.stream import headers
from penstock.stream.port import Outgoing
from penstock.stream.publisher import KafkaPublisher
from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Skipped
from tests.conftest import RunningStack

SAMPLES = Path(__file__).parents[2] / "samples"

Record = dict[str, Any]


def recorded(source: str) -> Iterator[Record]:
    """The recorded events of one source as ScoredEvents, taken in now; without language or sentiment."""
    clock = SystemClock()
    for path in find_files([str(SAMPLES / source)]):
        parser = PARSERS[source](path)
        for line in Lines(path):
            found = parser.parse(line) if line else []
            if isinstance(found, Skipped):
                continue
            for fields in found:
                yield scored(parse_event(fields, clock.now_ms()).to_record())


def scored(event: Mapping[str, Any], **more: object) -> Record:
    """An Event's record as a ScoredEvent's; `more` replaces fields."""
    later: Record = {"language": None, "entities": [], "keywords": [], "topics": [], "place": None, "sentiment": None}
    return {**event, **later, **more}


def sentiment(label: str, score: float) -> Record:
    return {
        "label": label,
        "score": score,
        "probabilities": {},
        "emotions": {},
        "aspects": [],
        "sarcasm": None,
        "model": "by hand",
    }


@dataclass(slots=True)
class ScoredTopic:
    name: str
    partitions: int
    _codec: Codec
    _publisher: KafkaPublisher
    _admin: AdminClient
    _sent: int = 0

    async def send(self, records: Iterable[Record]) -> list[str]:
        """Writes events, over the partitions in turn; their uids in hex, in the order of `records`."""
        uids, batch = [], []
        now_ms = SystemClock().now_ms()
        for record in records:
            uid = uuid.uuid4().bytes
            uids.append(uid.hex())
            value = self._codec.encode({**record, "ingested_at": now_ms})
            told = [(headers.UID, uid), (headers.SOURCE, record["source"].encode())]
            batch.append(Outgoing(self.name, None, value, told, now_ms, self._sent % self.partitions))
            self._sent += 1
        assert not any(await self._publisher.publish(batch))
        return uids

    async def send_raw(self, value: bytes | None) -> None:
        now_ms = SystemClock().now_ms()
        assert await self._publisher.publish([Outgoing(self.name, None, value, [], now_ms, 0)]) == [None]

    async def forget(self, before: int) -> None:
        """Deletes what lies before this offset in every partition, as retention would."""
        asked = self._admin.delete_records([TopicPartition(self.name, p, before) for p in range(self.partitions)])
        for answer in asked.values():
            await asyncio.to_thread(answer.result, 20)

    async def close(self) -> None:
        await self._publisher.close()


async def make_topic(stack: RunningStack, partitions: int = 3) -> ScoredTopic:
    """A topic of its own name, so that tests on one stack do not see each other's events."""
    name = f"scored.{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    made = admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
    await asyncio.to_thread(made[name].result, 20)
    async with Registry(stack.schema_registry_url) as registry:
        codec = await encoder(registry, "scored_event", f"{name}-value")
    return ScoredTopic(name, partitions, codec, KafkaPublisher(stack.bootstrap_servers, f"{name}.writer"), admin)
