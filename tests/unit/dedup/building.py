"""Records as a poll brings them, for dedup's tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from penstock.stream.port import Headers, Outgoing
from services.dedup.entries import WORD, Words
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings

W_MS, GRACE_MS = 1000, 100
WINDOW = WindowSettings(W_MS, GRACE_MS, fingerprint_version=1)


class Still:
    """A clock that stands."""

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic_s(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Rec:
    """One record as it was read."""

    key_: bytes | None
    timestamp_ms: int
    offset_: int = 0
    partition_: int = 0
    topic_: str = "events.raw"
    value_: bytes | None = b"\0\0\0\0\1body"
    headers_: Headers | None = field(default_factory=list)

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def headers(self) -> Headers | None:
        return self.headers_

    def timestamp(self) -> tuple[int, int]:
        return 1, self.timestamp_ms


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def raw(number: int, timestamp_ms: int, offset: int, partition: int = 0) -> Rec:
    """A record of events.raw as ingest writes it, of event `number`."""
    uid = (offset * 1000 + partition).to_bytes(16, "big")
    found: Headers = [("uid", uid), ("source", b"github"), ("fingerprint-version", b"1")]
    return Rec(key(number), timestamp_ms, offset, partition, headers_=found)


def entry_rows(*rows: tuple[int, int, int]) -> Words:
    """Entries of (event number, timestamp, first offset)."""
    return np.array([(number, 0, ts, offset) for number, ts, offset in rows], WORD).reshape(-1, 4)


def as_read(written: Sequence[Outgoing], start: int = 0) -> list[Rec]:
    """What was written to the changelog, as a restore reads it, each transaction followed by its marker."""
    return [
        Rec(None, out.timestamp_ms, start + 2 * i, out.partition, out.topic, out.value, out.headers)
        for i, out in enumerate(written)
    ]


def encode(record: Mapping[str, object]) -> bytes:
    return repr(record).encode()


def new_state(window: WindowSettings = WINDOW) -> SeenState:
    return SeenState("dedup.seen", window, Still())


def new_dedup(state: SeenState | None = None) -> Dedup:
    return Dedup(state or new_state(), encode, Topics())
