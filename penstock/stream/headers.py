"""The headers every record carries from ingest to its last reader; handlers pass them on unchanged."""

from penstock.stream.port import Record

UID = "uid"
"""`UID_BYTES` bytes, minted once when ingest accepts the record: its identity for the ledger and the sinks."""
UID_BYTES = 16
SOURCE = "source"
TRACEPARENT = "traceparent"
"""W3C Trace Context, https://www.w3.org/TR/trace-context/"""
OCCURRED_AT = "occurred-at"
"""Decimal milliseconds since 1970-01-01 UTC, as ASCII."""
FINGERPRINT_VERSION = "fingerprint-version"
RETRY_COUNT = "retry-count"
"""How often a dead letter was sent back to its stage, decimal ASCII; set by `penstock dlq retry` alone."""

CARRIED = frozenset({UID, SOURCE, TRACEPARENT, OCCURRED_AT, FINGERPRINT_VERSION, RETRY_COUNT})


def get(record: Record, name: str) -> bytes | None:
    """The last header of that name (Kafka allows several); None where there is none."""
    for key, value in reversed(record.headers() or ()):
        if key == name:
            return value
    return None
