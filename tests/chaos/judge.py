"""The independent verdict: what a plain read_committed reader finds in the topics, held against what must be there.

Nothing of Penstock's own code takes part in it. Pure: records come in, counts come out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

WINDOW_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One committed record as the reader got it; `uid` and `source` are empty where it has none.

    `event_id` is read of raw and unique alone, and empty where the value is no event.
    """

    partition: int
    offset: int
    key: bytes
    uid: bytes
    timestamp_ms: int
    source: bytes = b""
    event_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place against what it must hold: records, identities that are missing, that are there more often than they
    should, that should not be there at all, and that come before one they should follow."""

    place: str
    records: int
    lost: int
    doubled: int
    strange: int
    out_of_order: int

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.strange or self.out_of_order)

    def __str__(self) -> str:
        return (
            f"{self.place}: {self.records:,} records, {self.lost:,} lost, {self.doubled:,} doubled, "
            f"{self.strange:,} that belong nowhere, {self.out_of_order:,} out of order"
        )


def originals(raw: Iterable[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Raw records, each partition in its order, as (originals, duplicates) by the window's rule.

    The run is shorter than dedup's grace could notice: its clocks are one machine's, nothing of it is late.
    """
    first: dict[tuple[int, bytes], int] = {}
    fresh: list[Seen] = []
    again: list[Seen] = []
    for record in raw:
        at = record.partition, record.key
        seen_ms = first.get(at)
        if seen_ms is not None and max(0, record.timestamp_ms - seen_ms) < WINDOW_MS:
            again.append(record)
        else:
            first[at] = record.timestamp_ms
            fresh.append(record)
    return fresh, again


def without(records: Iterable[Seen], dead: Collection[bytes]) -> list[Seen]:
    return [record for record in records if record.uid not in dead]


def compare(place: str, expected: Sequence[Seen], found: Sequence[Seen]) -> Finding:
    """`found` must be `expected`, once each, every partition in the same order."""
    rank = {record.uid: (record.partition, number) for number, record in enumerate(expected)}
    times = Counter(record.uid for record in found)
    backwards = 0
    last: dict[int, int] = {}
    for record in found:
        if (known := rank.get(record.uid)) is None:
            continue
        partition, number = known
        backwards += number < last.get(partition, -1)
        last[partition] = max(number, last.get(partition, -1))
    return Finding(place, len(found), *_missing_and_more(rank.keys(), times), backwards)


def compare_sets(place: str, expected: Iterable[Seen], found: Mapping[bytes, int]) -> Finding:
    """As `compare`, of a place that keeps no order: uid to how often it is there."""
    return Finding(
        place, sum(found.values()), *_missing_and_more({record.uid for record in expected}, Counter(found)), 0
    )


def compare_bounds(
    place: str, least: Mapping[bytes, int], most: Mapping[bytes, int], found: Mapping[bytes, int]
) -> Finding:
    """As `compare_sets`, of what must be there at `least` so many times and at `most` so many, by name.

    `most` has all names of `least`.
    """
    lost = sum(max(0, count - found.get(name, 0)) for name, count in least.items())
    doubled = sum(max(0, count - most[name]) for name, count in found.items() if name in most)
    strange = sum(count for name, count in found.items() if name not in most)
    return Finding(place, sum(found.values()), lost, doubled, strange, 0)


def _missing_and_more(wanted: Collection[bytes], times: "Counter[bytes]") -> tuple[int, int, int]:
    lost = sum(1 for uid in wanted if uid not in times)
    doubled = sum(count - 1 for uid, count in times.items() if uid in wanted)
    return lost, doubled, sum(count for uid, count in times.items() if uid not in wanted)
