"""The committed offsets of one group, pending ones of open transactions included."""

from collections.abc import Collection, Mapping

from penstock.stream.port import TopicPartition
from penstock.testing.log import Transaction


class GroupOffsets:
    """An offset is stable once no transaction that wrote it is undecided here."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self._pending: dict[Transaction, dict[TopicPartition, int]] = {}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed.update(offsets)

    def add(self, transaction: Transaction, offsets: Mapping[TopicPartition, int]) -> None:
        self._pending.setdefault(transaction, {}).update(offsets)

    def mark(self, transaction: Transaction) -> None:
        """The transaction's marker has come: its offsets count now, or never."""
        offsets = self._pending.pop(transaction, {})
        if transaction.committed:
            self.committed.update(offsets)

    def stable(self, partitions: Collection[TopicPartition]) -> bool:
        return not any(tp in offsets for offsets in self._pending.values() for tp in partitions)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self.committed.pop(tp, None)
            for offsets in self._pending.values():
                offsets.pop(tp, None)
