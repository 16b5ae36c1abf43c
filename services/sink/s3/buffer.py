"""What the sink holds of one partition until its files are written: rows by the folder they go to."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from penstock.errors import DataError
from penstock.lake.layout import Chain, Folder, folder_of
from services.sink.policy import Fill
from services.sink.rows import Row
from services.sink.s3.parquet import to_batch

_SEAL_ROWS = 1000
"""Rows are turned into columns as soon as there are so many: that spreads the work, and saves memory."""
_HOUR_MS = 3_600_000


@dataclass(slots=True)
class Group:
    """Rows of one folder, in the order they came."""

    folder: Folder
    open: list[Row] = field(default_factory=list)
    sealed: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.open.append(row)
        if len(self.open) >= _SEAL_ROWS:
            self.seal()

    def seal(self) -> list[pa.RecordBatch]:
        if self.open:
            self.sealed.append(to_batch(self.open))
            self.open = []
        return self.sealed

    @property
    def rows(self) -> int:
        return len(self.open) + sum(batch.num_rows for batch in self.sealed)


@dataclass(slots=True)
class Buffer:
    """`start` is where the chain ends, `seen` the offset to come next."""

    chain: Chain
    start: int
    seen: int
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    fill: Fill = field(default_factory=Fill)

    def add(self, row: Row) -> None:
        """Raises DataError for an ingest time that has no date."""
        key = row.source, row.ingested_at_ms // _HOUR_MS
        group = self.groups.get(key)
        if group is None:
            try:
                folder = folder_of(row.source, row.ingested_at_ms)
            except (OverflowError, ValueError) as error:
                detail = f"{row.ingested_at_ms} ms lies outside the years 1 to 9999"
                raise DataError("bad-timestamp", detail, field="ingested_at") from error
            group = self.groups[key] = Group(folder)
        group.add(row)

    def restart(self, at: int) -> None:
        self.start = self.seen = at
        self.groups, self.fill = {}, Fill()

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups.values())
