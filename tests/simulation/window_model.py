"""The rule of the window (services/dedup/README.md) by brute force: every original is remembered for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.stream.port import TIMESTAMP_MS, Record


@dataclass(slots=True)
class Expected:
    """One partition's records by what they are."""

    unique: list[Record] = field(default_factory=list)
    duplicate: list[tuple[Record, Record]] = field(default_factory=list)
    """With the original each is a duplicate of, the newest if there are several."""
    late: list[Record] = field(default_factory=list)


def expect(records: Sequence[Record], window_ms: int, grace_ms: int) -> Expected:
    """Args:
    records: one partition, in the order of its offsets.
    """
    expected = Expected()
    watermark = -(2**62)
    for record in records:
        now = record.timestamp()[TIMESTAMP_MS]
        watermark = max(watermark, now)
        if now < watermark - grace_ms:
            expected.late.append(record)
            continue
        originals = [
            u
            for u in expected.unique
            if u.key() == record.key() and max(0, now - u.timestamp()[TIMESTAMP_MS]) < window_ms
        ]
        if originals:
            expected.duplicate.append((record, originals[-1]))
        else:
            expected.unique.append(record)
    return expected
