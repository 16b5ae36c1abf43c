"""What ingest does to an event it takes in: gives it an identity and a fingerprint, and makes its record."""

from collections.abc import Callable, Mapping
from typing import Any

from penstock import tracing
from penstock.errors import DataError
from penstock.event import MAX_EVENT_BYTES, Event
from penstock.fingerprint import FINGERPRINT_VERSION, Fingerprinter
from penstock.stream import headers
from penstock.stream.port import Outgoing

RAW_TOPIC = "events.raw"

_TRACE_BYTES = 24
_VERSION = str(FINGERPRINT_VERSION).encode()


class Acceptor:
    """
    Args:
        encode: an Event's Avro record to the framed value.
        randomness: that many random bytes, unpredictable to outsiders: `os.urandom`.
    """

    def __init__(
        self,
        fingerprinter: Fingerprinter,
        encode: Callable[[Mapping[str, Any]], bytes],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._fingerprinter = fingerprinter
        self._encode = encode
        self._randomness = randomness

    def accept(self, event: Event, traceparent: bytes | None = None) -> Outgoing:
        """The record for events.raw, with a new uid; its timestamp is the event's ingest time.

        A producer's own `traceparent` is carried on where it is valid.

        Raises:
            DataError: it cannot be encoded, or would not fit into the topic.
        """
        value = self._encode(event.to_record())
        if len(value) > MAX_EVENT_BYTES:
            raise DataError("too-large", f"the event takes {len(value):,} bytes, more than {MAX_EVENT_BYTES:,}")
        random_bytes = self._randomness(headers.UID_BYTES + _TRACE_BYTES)
        if traceparent is None or not tracing.valid(traceparent):
            traceparent = tracing.mint(random_bytes[headers.UID_BYTES :])
        return Outgoing(
            RAW_TOPIC,
            self._fingerprinter.of(event),
            value,
            [
                (headers.UID, mint_uid(event.ingested_at, random_bytes[: headers.UID_BYTES])),
                (headers.SOURCE, event.source.encode()),
                (headers.TRACEPARENT, traceparent),
                (headers.OCCURRED_AT, str(event.occurred_at).encode()),
                (headers.FINGERPRINT_VERSION, _VERSION),
            ],
            event.ingested_at,
        )


def mint_uid(now_ms: int, random_bytes: bytes) -> bytes:
    """A UUIDv7 (RFC 9562): first the time, so that new rows lie together in an index, then 74 random bits."""
    uid = bytearray(now_ms.to_bytes(6, "big") + random_bytes[6:16])
    uid[6] = 0x70 | uid[6] & 0x0F
    uid[8] = 0x80 | uid[8] & 0x3F
    return bytes(uid)
