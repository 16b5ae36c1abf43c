"""A stage on the in-memory cluster whose records can die, and the settlement of its dead letters."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.dlq.settlement import TRANSACTIONAL_ID, Order, Rules, Settlement
from penstock.dlq.summary import Summary
from penstock.dlq.way_back import ways_back
from penstock.errors import DataError
from penstock.ledger.accounts import ALL_STAGES
from penstock.ledger.audit import Action, Command, action_of
from penstock.ledger.dead import Wanted
from penstock.ledger.decoding import Decoders
from penstock.ledger.kafka_reader import TopicFacts
from penstock.schema.catalogue import load_catalogue
from penstock.stream.port import Broker, Outgoing
from penstock.stream.widen import Fields, Widen
from penstock.testing import Cluster, MemoryBroker, run_in_virtual_time
from penstock.testing.drain import drain
from penstock.testing.record import MemoryRecord

UNIQUE, RETRY, DEAD, ENRICHED, AUDIT = "events.unique", "retry.enrich", "dlq.enrich", "events.enriched", "dlq.audit"
WAYS = ways_back(load_catalogue())


class Json:
    """A codec of dead letters and actions as JSON, bytes in hexadecimal."""

    async def prepare(self, values: Iterable[bytes | None]) -> None: ...

    def decode(self, value: bytes | None) -> Mapping[str, Any]:
        if value is None or not value.startswith(b"{"):
            raise DataError("bad-magic", "it is no JSON")
        return _with_bytes(json.loads(value))


def encode(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, default=lambda value: value.hex()).encode()


def _with_bytes(fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("key", "value", "uid"):
        if fields.get(name) is not None and "stage" in fields:
            fields[name] = bytes.fromhex(fields[name])
    for header in fields.get("headers", ()):
        header["value"] = None if header["value"] is None else bytes.fromhex(header["value"])
    for letter in fields.get("letters", ()):
        letter["uid"] = None if letter["uid"] is None else bytes.fromhex(letter["uid"])
    return fields


class Plain:
    """Reads a value as it is, if it is among the readable."""

    def __init__(self, unreadable: set[bytes]) -> None:
        self._unreadable = unreadable

    def lacks(self, values: Iterable[bytes | None]) -> bool:
        del values
        return False

    async def prepare(self, values: Iterable[bytes | None], *, at_most: int | None) -> None: ...

    def decode(self, value: bytes | None) -> Fields:
        if value is None or value in self._unreadable:
            raise DataError("unknown-schema", "not readable yet")
        return {"value": value}


class World:
    """Enrich reads numbers as values; those in `unreadable` die."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.unreadable: set[bytes] = set()
        for topic in (UNIQUE, RETRY, ENRICHED, "events.inbox"):
            self.cluster.create_topic(topic)
        for topic in (*(f"dlq.{stage}" for stage in ALL_STAGES), AUDIT):
            self.cluster.create_topic(topic, log_append_time=True)
        self._runs = 0

    def take_in(self, *numbers: int) -> None:
        """Records of enrich's input, each with a uid and a key of its own; ingested one millisecond apart."""
        now_ms = self.cluster.clock.now_ms()
        self.cluster.send(
            [
                Outgoing(
                    UNIQUE,
                    key_of(number),
                    b"%d" % number,
                    [("uid", uid_of(number)), ("source", b"github"), ("own", None)],
                    now_ms - 1000 + number,
                )
                for number in numbers
            ]
        )

    def enrich(self) -> None:
        """Has enrich read all there is."""
        reader = Plain(self.unreadable)
        handler = Widen(reader, lambda batch: [{} for _ in batch], lambda fields: fields["value"], ENRICHED, 9999)
        drain(self.cluster, handler, UNIQUE, RETRY, stage="enrich")

    def order(self, command: Command, wanted: Wanted) -> Order:
        self._runs += 1
        return Order(command, wanted, "me@here", f"run-{self._runs}", "")

    def settlement(self, broker: Broker | None = None, max_attempts: int = 5) -> Settlement:
        topics = (AUDIT, *(f"dlq.{stage}" for stage in ALL_STAGES))
        facts = {
            name: TopicFacts(name, self.cluster.topic(name).topic_id, tuple(self.cluster.topic(name).partitions))
            for name in topics
        }
        rules = Rules(WAYS, max_attempts)
        return Settlement(broker or self.broker(), facts, Decoders(Json(), Json()), encode, rules, self.cluster.clock)

    def broker(self) -> MemoryBroker:
        return MemoryBroker(self.cluster, transactional_id=TRANSACTIONAL_ID)

    async def settle(
        self, command: Command, wanted: Wanted | None = None, *, broker: Broker | None = None, max_attempts: int = 5
    ) -> Summary:
        """One run of the command, survey and all."""
        order = self.order(command, wanted or Wanted())
        settlement = self.settlement(broker, max_attempts)
        survey = await settlement.survey(order, lambda *_: None)
        summary = Summary()
        await settlement.carry_out(order, summary, lambda *_: None)
        assert summary.count == survey.count, "what was announced was done"
        return summary

    def run(self, command: Command, wanted: Wanted | None = None, *, max_attempts: int = 5) -> Summary:
        return run_in_virtual_time(self.settle(command, wanted, max_attempts=max_attempts))

    def numbers(self, topic: str) -> list[int]:
        """The values of a topic, in order of their numbers."""
        return sorted(int(record.value() or b"-1") for record in self.cluster.records(topic))

    def letters(self) -> list[Mapping[str, Any]]:
        return [Json().decode(record.value()) for record in self.cluster.records(DEAD)]

    def actions(self) -> list[Action]:
        return [action_of(Json().decode(record.value())) for record in self.cluster.records(AUDIT)]

    def records(self, topic: str) -> Sequence[MemoryRecord]:
        return self.cluster.records(topic)


def uid_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def key_of(number: int) -> bytes:
    return b"k" + number.to_bytes(15, "big")
