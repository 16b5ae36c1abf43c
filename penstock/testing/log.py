"""The log of one partition: records, transaction markers, and how far a read_committed reader may see."""

from collections.abc import Sequence

from penstock.stream.port import Outgoing, TopicPartition
from penstock.testing.record import CREATE_TIME, LOG_APPEND_TIME, MemoryRecord, size_bytes
from penstock.testing.refusals import Code, RefusedError
from penstock.testing.topic import TopicConfig


class Transaction:
    """One transaction, as the logs and the groups see it.

    `committed` is None until the coordinator has decided. Each log takes the decision in when its marker is written,
    which may be at different times.
    """

    __slots__ = ("committed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.committed: bool | None = None

    def __repr__(self) -> str:
        return f"Transaction({self.name}, committed={self.committed})"


class PartitionLog:
    """Offsets are handed out one by one to records and markers; readers never see a marker, hence the gaps."""

    def __init__(self, where: TopicPartition, config: TopicConfig) -> None:
        self.where = where
        self.config = config
        self.start = 0
        self._first = 0
        self._records: list[MemoryRecord | None] = []  # None is a marker
        self._transactions: list[Transaction | None] = []
        self._open: dict[Transaction, int] = {}

    @property
    def high_watermark(self) -> int:
        return self._first + len(self._records)

    @property
    def last_stable_offset(self) -> int:
        """Where the first open transaction begins, else the high watermark."""
        return min(self._open.values()) if self._open else self._first + len(self._records)

    def check(self, batch: Sequence[Outgoing], now_ms: int) -> None:
        """Refuses the whole batch for one record that the topic does not take, as the broker does."""
        config = self.config
        for out in batch:
            size = size_bytes(out.key, out.value, out.headers)
            if size > config.max_message_bytes:
                raise RefusedError(
                    Code.TOO_LARGE, f"a record of {size} bytes for {self.where}, which takes {config.max_message_bytes}"
                )
            if config.log_append_time:
                continue
            ahead_ms = out.timestamp_ms - now_ms
            if ahead_ms > config.timestamp_after_max_ms or -ahead_ms > config.timestamp_before_max_ms:
                raise RefusedError(
                    Code.INVALID_TIMESTAMP,
                    f"timestamp {out.timestamp_ms} for {self.where}, {abs(ahead_ms)} ms "
                    f"{'after' if ahead_ms > 0 else 'before'} the broker's clock",
                )

    def append(self, out: Outgoing, transaction: Transaction | None, now_ms: int) -> int:
        """Stores one checked record and returns its offset."""
        offset = self.high_watermark
        if transaction is not None:
            self._open.setdefault(transaction, offset)
        timestamp = (LOG_APPEND_TIME, now_ms) if self.config.log_append_time else (CREATE_TIME, out.timestamp_ms)
        topic, partition = self.where
        self._records.append(MemoryRecord(topic, partition, offset, out.key, out.value, tuple(out.headers), timestamp))
        self._transactions.append(transaction)
        return offset

    def mark(self, transaction: Transaction) -> None:
        """Writes the marker that ends a transaction here; it takes one offset."""
        self._records.append(None)
        self._transactions.append(transaction)
        self._open.pop(transaction, None)

    def read(self, start: int, end: int, max_records: int) -> tuple[list[MemoryRecord], int]:
        """Committed records of `[start, end)` below the last stable offset, and the position after them.

        The position is past the last record returned, or at the end reached if nothing more is visible before it.
        """
        end = min(end, self.last_stable_offset)
        if start >= end:
            return [], start
        found: list[MemoryRecord] = []
        first, records, transactions = self._first, self._records, self._transactions
        for at in range(max(start, self.start) - first, end - first):
            record, transaction = records[at], transactions[at]
            if record is None or (transaction is not None and not transaction.committed):
                continue
            if len(found) == max_records:
                return found, found[-1].offset() + 1
            found.append(record)
        return found, end

    def uncommitted(self, start: int, end: int) -> list[MemoryRecord]:
        """As `read`, but whatever became of the transactions: what a read_uncommitted reader sees."""
        first = self._first
        records = self._records[max(start, self.start) - first : max(0, end - first)]
        return [record for record in records if record is not None]

    def transaction_at(self, offset: int) -> Transaction | None:
        """The transaction that wrote this offset; None for a plain record."""
        return self._transactions[offset - self._first]

    def delete_before(self, offset: int) -> None:
        """Moves the log's start up to `offset`; what is before it is gone."""
        if not 0 <= offset <= self.high_watermark:
            raise RefusedError(
                Code.OFFSET_OUT_OF_RANGE, f"offset {offset} of {self.where}, which ends at {self.high_watermark}"
            )
        if offset <= self.start:
            return
        self.start = offset
        drop = min(offset, self.last_stable_offset) - self._first
        del self._records[:drop], self._transactions[:drop]
        self._first += drop

    def expire(self, now_ms: int) -> None:
        """Retention: drops records from the start while they are older than the topic keeps them."""
        if self.config.retention_ms is None:
            return
        keep_from = self.start
        for offset in range(self.start, self.last_stable_offset):
            record = self._records[offset - self._first]
            if record is not None and record.timestamp()[1] >= now_ms - self.config.retention_ms:
                break
            keep_from = offset + 1
        self.delete_before(keep_from)
