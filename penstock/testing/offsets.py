"""The committed offsets of one group, pending ones of open transactions included."""

from collections.abc import Collection, Mapping

from penstock.stream.port import TopicPartition
from penstock.testing.log import Transaction


class GroupOffsets:
    """An offset is stable once no transaction that wrote it is undecided here. Of several commits the one counts that
    was written last, whatever the order in which their transactions end."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self._pending: dict[Transaction, dict[TopicPartition, tuple[int, int]]] = {}
        self._written: dict[TopicPartition, int] = {}
        self._writes = 0

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._writes += 1
        self.committed.update(offsets)
        self._written.update(dict.fromkeys(offsets, self._writes))

    def add(self, transaction: Transaction, offsets: Mapping[TopicPartition, int]) -> None:
        self._writes += 1
        pending = self._pending.setdefault(transaction, {})
        pending.update({tp: (offset, self._writes) for tp, offset in offsets.items()})

    def mark(self, transaction: Transaction) -> None:
        """The transaction's marker has come: its offsets count now, or never."""
        pending = self._pending.pop(transaction, {})
        if not transaction.committed:
            return
        for tp, (offset, written) in pending.items():
            if written > self._written.get(tp, 0):
                self.committed[tp], self._written[tp] = offset, written

    def stable(self, partitions: Collection[TopicPartition]) -> bool:
        return not any(tp in offsets for offsets in self._pending.values() for tp in partitions)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self.committed.pop(tp, None)
            self._written.pop(tp, None)
            for offsets in self._pending.values():
                offsets.pop(tp, None)
