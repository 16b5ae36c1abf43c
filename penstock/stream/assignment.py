"""What one stage instance holds of its input, and from where each partition goes on.

Pure bookkeeping: which partitions are ours since which generation, which of them are still being started, and up to
where each is committed. The loops do the calls.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from penstock.stream.port import Polled, Record, TopicPartition


class Assignment:
    def __init__(self) -> None:
        self._since: dict[TopicPartition, int] = {}
        self._starting: dict[TopicPartition, None] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._changed = 0
        self.ever_assigned = False

    @property
    def owned(self) -> Collection[TopicPartition]:
        return self._since.keys()

    @property
    def starting(self) -> Collection[TopicPartition]:
        """Assigned, but not yet restored and resumed; in the order they came."""
        return self._starting.keys()

    @property
    def running(self) -> list[TopicPartition]:
        return [tp for tp in self._since if tp not in self._starting]

    @property
    def ready(self) -> bool:
        """Something was assigned once, and nothing is being restored."""
        return self.ever_assigned and not self._starting

    def assign(self, partitions: Iterable[TopicPartition], generation: int) -> None:
        self.ever_assigned = True
        self._changed = generation
        for tp in partitions:
            self._since[tp] = generation
            self._starting[tp] = None
            self._committed.pop(tp, None)

    def restart(self) -> list[TopicPartition]:
        """All that is ours has to be started anew: nothing is known any more of where it stands."""
        self._committed.clear()
        self._starting = dict.fromkeys(self._since)
        return list(self._since)

    def start(self, tp: TopicPartition, offset: int) -> None:
        """The partition is restored and goes on at `offset`."""
        self._committed[tp] = offset
        del self._starting[tp]

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        for tp in partitions:
            self._since.pop(tp, None)
            self._starting.pop(tp, None)
            self._committed.pop(tp, None)
        self._changed += 1

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._committed.update(offsets)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where these partitions were last committed, or started: where an abort takes them back to."""
        return {tp: self._committed[tp] for tp in partitions if tp in self._committed}

    def fresh(self, polled: Polled) -> Sequence[Record]:
        """The records that are ours to process: of running partitions, fetched under their present assignment."""
        if polled.generation >= self._changed and not self._starting:
            return polled.records
        valid = {tp for tp, since in self._since.items() if since <= polled.generation and tp not in self._starting}
        return [record for record in polled.records if (record.topic(), record.partition()) in valid]


def starts_of(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Where to seek to read these records again; within a partition they are in its order."""
    starts: dict[TopicPartition, int] = {}
    for record in records:
        starts.setdefault(TopicPartition(record.topic(), record.partition()), record.offset())
    return starts
