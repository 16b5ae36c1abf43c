"""A producer outside: writes recorded events to events.inbox, and now and then something that is no event."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, Producer

from penstock.event_input import parse_event
from penstock.schema.codec import Codec, encoder
from penstock.schema.registry import Registry
from penstock.stream.kafka_config import producer as producer_config
from services.ingest.replay.files import PARSERS
from services.ingest.replay.parser import Skipped
from tests.e2e.offered import Offered
from tests.e2e.recording import lines_of

NOW_MS = 1_800_000_000_000
NO_EVENT = b"no event"


class Outsider:
    """Feeds one recording in small bites; every 10th event is fed twice, every 25th is followed by what is none.

    `fed` has the events by their ids; `refusals` what is none, all by one name.
    """

    def __init__(self, bootstrap_servers: str, schema_registry_url: str, source: str, file: Path) -> None:
        self.source = source
        self.events = self.refused = self.repeated = self.bypassed = 0
        self.fed = Offered()
        self.refusals = Offered()
        self._producer = Producer({**producer_config(bootstrap_servers, "outsider"), "log_level": 0})
        self._codec = asyncio.run(_codec(schema_registry_url))
        self._last: dict[str, Any] = {}
        self._values = self._encoded(file)

    def feed(self, count: int) -> None:
        """Returns once the broker has everything; the recording must not be at its end."""
        for value in islice(self._values, count):
            self.events += 1
            times = 2 if self.events % 10 == 0 else 1
            for _ in range(times):
                self._send(self.fed, self._last["id"].encode(), value)
            self.repeated += times - 1
            if self.events % 25 == 0:
                self._send(self.refusals, NO_EVENT, NO_EVENT)
                self.refused += 1
        assert self._producer.flush(120) == 0

    def _send(self, among: Offered, name: bytes, value: bytes) -> None:
        def told(error: KafkaError | None, _: object) -> None:
            if error is None:
                among.acknowledge(name)

        among.hand_in(name)
        self._producer.produce("events.inbox", value, uuid4().bytes, on_delivery=told)

    def bypass_ingest(self) -> None:
        """Writes to events.raw what ingest would have refused: a readable event of a time that Postgres does not have.
        Every hop before it passes it on."""
        self.bypassed += 1
        self._last |= {"id": f"bypass:{self.bypassed}", "source": "bypass", "occurred_at": 2**62, "ingested_at": 0}
        headers: list[tuple[str, str | bytes | None]] = [("uid", uuid4().bytes), ("source", b"bypass")]
        self._producer.produce("events.raw", self._codec.encode(self._last), uuid4().bytes, headers=headers)
        assert self._producer.flush(30) == 0

    def _encoded(self, file: Path) -> Iterator[bytes]:
        parser = PARSERS[self.source](file)
        for line in lines_of(file):
            found = parser.parse(line.rstrip(b"\r\n"))
            for fields in () if isinstance(found, Skipped) else found:
                self._last = parse_event(fields, NOW_MS).to_record()
                yield self._codec.encode(self._last)


async def _codec(schema_registry_url: str) -> Codec:
    async with Registry(schema_registry_url) as registry:
        return await encoder(registry, "event", "events.inbox-value")
