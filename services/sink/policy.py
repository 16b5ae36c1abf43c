"""When a buffer is flushed: by rows, bytes, age or idleness. Pure: `now_s` is handed in, monotonic seconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.stream.port import TopicPartition


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """
    Args:
        max_rows: of one flush: of all partitions where they are flushed `together`, else of each.
        max_bytes: of all partitions, as the records came from Kafka; bounds the memory that buffers take.
        max_age_s: between a record's arrival and its flush.
        max_idle_s: after the last record: nothing more is coming, so there is nothing to wait for.
        together: whether one flush stores all partitions, so that as soon as one is due all are.
    """

    max_rows: int
    max_bytes: int
    max_age_s: float
    max_idle_s: float
    together: bool

    def due(self, fills: Mapping[TopicPartition, "Fill"], now_s: float) -> set[TopicPartition]:
        """The partitions to flush now; never one that holds nothing."""
        held = {partition: fill for partition, fill in fills.items() if fill.rows or fill.dead}
        if not held:
            return set()
        if self.together:
            whole = sum_of(held.values())
            return set(held) if self._is_due(whole, now_s) or whole.size_bytes >= self.max_bytes else set()
        due = {partition for partition, fill in held.items() if self._is_due(fill, now_s)}
        return due | self._largest({partition: held[partition] for partition in held.keys() - due})

    def _is_due(self, fill: "Fill", now_s: float) -> bool:
        return (
            fill.rows >= self.max_rows
            or now_s - fill.first_s >= self.max_age_s
            or now_s - fill.last_s >= self.max_idle_s
        )

    def _largest(self, held: Mapping[TopicPartition, "Fill"]) -> set[TopicPartition]:
        """What has to go so that the rest takes half of `max_bytes`: few large files rather than many small ones."""
        size_bytes = sum(fill.size_bytes for fill in held.values())
        chosen: set[TopicPartition] = set()
        if size_bytes < self.max_bytes:
            return chosen
        for partition in sorted(held, key=lambda partition: -held[partition].size_bytes):
            if size_bytes <= self.max_bytes // 2:
                break
            chosen.add(partition)
            size_bytes -= held[partition].size_bytes
        return chosen


@dataclass(slots=True)
class Fill:
    """How full the buffer of one partition is.

    Dead letters take no room, but the offset behind them has to be stored one day like any other.
    """

    rows: int = 0
    dead: int = 0
    size_bytes: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, rows: int, dead: int, size_bytes: int, now_s: float) -> None:
        if not self.rows and not self.dead:
            self.first_s = now_s
        self.last_s = now_s
        self.rows += rows
        self.dead += dead
        self.size_bytes += size_bytes


def sum_of(fills: Iterable[Fill]) -> Fill:
    """All fills as one. Raises ValueError for none."""
    every = list(fills)
    return Fill(
        rows=sum(fill.rows for fill in every),
        dead=sum(fill.dead for fill in every),
        size_bytes=sum(fill.size_bytes for fill in every),
        first_s=min(fill.first_s for fill in every),
        last_s=max(fill.last_s for fill in every),
    )
