"""events.inbox: what producers outside write to Kafka themselves, checked as a POST is."""

from collections.abc import Sequence

from penstock.clock import Clock
from penstock.errors import DataError
from penstock.event_input import parse_event
from penstock.schema.codec import LOOKUPS_PER_TURN, Decoder
from penstock.stream import headers
from penstock.stream.handler import Dead, Output
from penstock.stream.port import Outgoing, Record
from services.ingest.accept import Acceptor

INBOX_TOPIC = "events.inbox"


class Inbox:
    """Implements penstock.stream.handler.Asking.

    Confluent-framed Avro of the Event record only; anything else is a dead letter.

    Of the producer's record only the event goes on, and its traceparent: key, headers, timestamp and `ingested_at` are
    ingest's to set. The source is what the event claims.
    """

    def __init__(self, decoder: Decoder, acceptor: Acceptor, clock: Clock) -> None:
        self._decoder = decoder
        self._acceptor = acceptor
        self._clock = clock

    def must_ask(self, batch: Sequence[Record]) -> bool:
        return self._decoder.lacks(record.value() for record in batch)

    async def ask(self, batch: Sequence[Record]) -> None:
        await self._decoder.prepare((record.value() for record in batch), at_most=LOOKUPS_PER_TURN)

    async def process(self, batch: Sequence[Record]) -> Output:
        now_ms = self._clock.now_ms()
        output = Output()
        for record in batch:
            try:
                output.send.append(self._accept(record, now_ms))
            except DataError as error:
                output.dead.append(Dead(record, error))
        return output

    def _accept(self, record: Record, now_ms: int) -> Outgoing:
        fields = self._decoder.decode(record.value())
        fields.pop("ingested_at", None)
        event = parse_event(fields, now_ms)
        return self._acceptor.accept(event, headers.get(record, headers.TRACEPARENT))
