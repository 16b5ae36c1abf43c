"""Dedup's state: a window per partition of the input, kept exact by the changelog."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.clock import Clock
from penstock.errors import PermanentError
from penstock.stream.port import Outgoing, Record
from services.dedup import changelog
from services.dedup.changelog import Retention, Standing
from services.dedup.entries import timestamps
from services.dedup.table import Table
from services.dedup.window import Window

_MARKS = 64
"""Notes per window length of where the changelog ended."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    window_ms: int
    grace_ms: int
    fingerprint_version: int


class Report(Protocol):
    """Who is told what the state holds."""

    def holds(self, partition: int, entries: int, size_bytes: int, watermark_ms: int) -> None: ...
    def dropped(self, partition: int) -> None: ...


@dataclass(slots=True)
class Seen:
    """One partition's window, and how far its changelog got."""

    window: Window
    retention: Retention
    topic_id: str | None = None
    restored: Standing | None = None
    built: bool = True


class SeenState:
    """Implements penstock.stream.handler.State.

    Args:
        topic: the changelog, partitioned as the input is.
        report: what it holds of a partition, after a commit.
    """

    def __init__(
        self,
        topic: str,
        settings: WindowSettings,
        clock: Clock,
        report: Report | None = None,
    ) -> None:
        self._topic = topic
        self._settings = settings
        self._clock = clock
        self._report = report
        self._seen: dict[int, Seen] = {}
        self._touched: set[int] = set()

    @property
    def changelog(self) -> str:
        return self._topic

    @property
    def fingerprint_version(self) -> int:
        return self._settings.fingerprint_version

    def seen(self, partition: int) -> Seen:
        """The partition's window, to take records into; what it decides is provisional until `committed`."""
        self._touched.add(partition)
        return self._get(partition)

    def restore(self, partition: int, records: Sequence[Record]) -> None:
        seen = self._get(partition)
        for record in records:
            seen.restored = changelog.read(record, self._settings.fingerprint_version)
            if seen.topic_id not in (None, seen.restored.topic_id):
                raise PermanentError(
                    f"{self._topic}[{partition}] offset {record.offset()} was written for input topic id"
                    f" {seen.restored.topic_id}, the records before it for {seen.topic_id}: the input was deleted and"
                    f" made again. Delete {self._topic} too, then `penstock topics apply`"
                )
            seen.topic_id = seen.restored.topic_id
            seen.retention.note(record.offset() + 1, seen.restored.watermark)
        if seen.restored is None:
            return
        loaded = changelog.entries(records)
        alive = timestamps(loaded) > seen.window.dead_until(seen.restored.watermark)
        seen.window.table.load(loaded if alive.all() else loaded[alive])
        seen.built = False

    def restored(self, partition: int) -> tuple[str, int] | None:
        seen = self._get(partition)
        if seen.restored is None:
            return None
        if not seen.built:
            seen.window.table.build()
            seen.window.restore(seen.restored.watermark)
            seen.built = True
        return seen.restored.topic_id, seen.restored.next_offset

    def begin(self, partition: int, topic_id: str) -> None:
        self._get(partition).topic_id = topic_id

    def checkpoint(self, topic_id: str, positions: Mapping[int, int]) -> Sequence[Outgoing]:
        now_ms, written = self._clock.now_ms(), list[Outgoing]()
        for partition, next_offset in sorted(positions.items()):
            seen = self._get(partition)
            standing = Standing(topic_id, next_offset, seen.window.watermark)
            parts = seen.window.table.changes()
            version = self._settings.fingerprint_version
            written += changelog.write(self._topic, partition, parts, standing, version, now_ms)
        return written

    def committed(self) -> None:
        for partition in self._touched:
            window = self._get(partition).window
            window.commit()
            if self._report is not None:
                self._report.holds(partition, len(window.table), window.table.size_bytes, window.watermark)
        self._touched.clear()

    def expired(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        expired = {}
        for partition, end in ends.items():
            seen = self._seen.get(partition)
            if seen is None:
                continue
            watermark = seen.window.watermark
            offset = seen.retention.expired(seen.window.dead_until(watermark))
            if offset is not None:
                expired[partition] = offset
            seen.retention.note(end, watermark)
        return expired

    def undo(self) -> None:
        for partition in self._touched:
            self._get(partition).window.undo()
        self._touched.clear()

    def drop(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            if self._seen.pop(partition, None) is not None and self._report is not None:
                self._report.dropped(partition)
            self._touched.discard(partition)

    def _get(self, partition: int) -> Seen:
        seen = self._seen.get(partition)
        if seen is None:
            settings = self._settings
            window = Window(settings.window_ms, settings.grace_ms, Table())
            step_ms = max(1, (settings.window_ms + settings.grace_ms) // _MARKS)
            seen = self._seen[partition] = Seen(window, Retention(step_ms))
        return seen
