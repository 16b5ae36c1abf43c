"""The in-memory Kafka cluster: topics, groups, transactions and time in one place, without threads and without chance.

Everything that takes time goes by the clock it is handed, so on a `VirtualTimeLoop` hours pass in milliseconds.
`docs/decisions` and tests/contract say where its behaviour was taken from: the real one, row by row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.clock import Clock
from penstock.stream.port import Outgoing, TopicPartition
from penstock.testing.alarms import Alarms
from penstock.testing.group import Group
from penstock.testing.log import PartitionLog
from penstock.testing.loop_clock import LoopClock
from penstock.testing.offsets import GroupOffsets
from penstock.testing.partitioner import partition_for
from penstock.testing.record import MemoryRecord
from penstock.testing.refusals import Code, RefusedError
from penstock.testing.topic import TopicConfig
from penstock.testing.transactions import TransactionCoordinator
from penstock.testing.wakeups import SAME_INSTANT_S, Wakeups


@dataclass(frozen=True, slots=True)
class Timings:
    """The broker's time-outs, in seconds; the defaults are those of the embedded stack."""

    session_s: float = 6.0
    heartbeat_s: float = 1.5
    offsets_retention_s: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    topic_id: str
    config: TopicConfig
    logs: tuple[PartitionLog, ...]

    @property
    def partitions(self) -> list[TopicPartition]:
        return [log.where for log in self.logs]


class Cluster:
    """One broker's worth of Kafka.

    Args:
        clock: the brokers' clock; by default it follows the running event loop.
        marker_delay_s: asked once per partition (and group) a transaction ends in: how long its marker takes.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        timings: Timings | None = None,
        marker_delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock: Clock = clock or LoopClock()
        self.timings = timings or Timings()
        self.alarms = Alarms()
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}
        self.offsets: dict[str, GroupOffsets] = {}
        self.transactions = TransactionCoordinator(self.alarms, marker_delay_s, self.notify)
        self._monotonic_s = self.clock.monotonic_s
        self._wakeups = Wakeups(self.alarms, self.clock.monotonic_s)
        self.topics_changed = 0
        """Goes up whenever a topic is made or deleted."""
        self._keyless = 0

    # -- time ------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self._monotonic_s()

    def tick(self) -> float:
        """Lets everything happen that is due, and says what time it is."""
        return self._wakeups.tick()

    def notify(self) -> None:
        """Wakes everyone who waits in `changed`."""
        self._wakeups.notify()

    @property
    def coordinators_move(self) -> bool:
        return self.now_s + SAME_INSTANT_S < self.transactions.back_s

    def move_coordinators(self, length_s: float) -> None:
        """For so long nobody coordinates transactions and groups; then others do, who know all that was decided.

        A session begins anew where its coordinator is new.
        """
        back_s = max(self.transactions.back_s, self.tick() + length_s)
        self.transactions.back_s = back_s
        self.alarms.at(back_s, lambda _due_s: self.notify())

    async def changed(self, timeout_s: float = float("inf")) -> None:
        """Returns when something may have changed, at the latest after `timeout_s`."""
        await self._wakeups.changed(timeout_s)

    # -- topics ----------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int = 1, **config: Any) -> Topic:
        """Makes a topic; `config` are the fields of TopicConfig."""
        if name in self.topics:
            raise RefusedError(Code.TOPIC_EXISTS, name)
        settings = TopicConfig(**config)
        self.topics_changed += 1
        topic = self.topics[name] = Topic(
            name,
            f"topic-{self.topics_changed:016}",
            settings,
            tuple(PartitionLog(TopicPartition(name, number), settings) for number in range(partitions)),
        )
        self._rebalance_readers_of(name)
        return topic

    def delete_topic(self, name: str) -> None:
        """Deletes a topic and, as Kafka does, every group's offsets for it."""
        gone = self.topic(name).partitions
        del self.topics[name]
        self.topics_changed += 1
        for offsets in self.offsets.values():
            offsets.forget(gone)
        for group in self.groups.values():
            group.forget_partitions(gone)
        self._rebalance_readers_of(name)

    def _rebalance_readers_of(self, topic: str) -> None:
        for group in self.groups.values():
            if any(topic in member.topics for member in group.members.values()):
                group.rebalance()
        self.notify()

    def topic(self, name: str) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            raise RefusedError(Code.UNKNOWN_TOPIC, f"there is no topic {name}")
        return topic

    def log(self, where: TopicPartition) -> PartitionLog:
        logs = self.topic(where.topic).logs
        if where.partition >= len(logs):
            raise RefusedError(Code.UNKNOWN_TOPIC, f"{where.topic} has {len(logs)} partitions, there is no {where}")
        return logs[where.partition]

    def route(self, out: Outgoing) -> PartitionLog:
        """The log a record goes to: as asked, by its key, or without a key one after the other."""
        if out.partition >= 0:
            return self.log(TopicPartition(out.topic, out.partition))
        logs = self.topic(out.topic).logs
        if out.key is not None:
            return logs[partition_for(out.key, len(logs))]
        self._keyless += 1
        return logs[self._keyless % len(logs)]

    def retain(self) -> None:
        """Runs retention once over all topics; real Kafka does so every `log.retention.check.interval.ms`.

        It goes by records, real Kafka by segments, of which it deletes one when its newest record is too old.
        """
        for topic in self.topics.values():
            for log in topic.logs:
                log.expire(self.clock.now_ms())

    # -- groups ----------------------------------------------------------------------------------------------------

    def group(self, name: str) -> Group:
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(name, self._partitions_of)
        return group

    def group_offsets(self, name: str) -> GroupOffsets:
        return self.offsets.setdefault(name, GroupOffsets())

    def _partitions_of(self, topic: str) -> Collection[TopicPartition]:
        found = self.topics.get(topic)
        return found.partitions if found is not None else ()

    def group_emptied(self, name: str, emptied_s: float) -> None:
        """Offsets of a group without members expire after the retention, counted from its last member."""
        joins = self.group(name).joins

        def expire(_due_s: float) -> None:
            if self.group(name).joins == joins:
                self.forget_offsets(name)

        self.alarms.at(emptied_s + self.timings.offsets_retention_s, expire)

    def forget_offsets(self, name: str) -> None:
        """What their retention comes to, and an administrator who deletes a group without members."""
        self.offsets.pop(name, None)

    # -- for tests: what an ordinary producer, consumer or administrator would do ----------------------------------

    def send(self, records: Sequence[Outgoing]) -> list[tuple[TopicPartition, int]]:
        """Writes records outside any transaction; returns where each one is."""
        self.tick()
        routed = [(out, self.route(out)) for out in records]
        for out, log in routed:
            log.check([out], self.clock.now_ms())
        written = [(log.where, log.append(out, None, self.clock.now_ms())) for out, log in routed]
        self.notify()
        return written

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Sets a group's offsets as an administrator does: only while it has no members."""
        self.tick()
        self.group(group).check(None, offsets)
        self.group_offsets(group).commit(offsets)
        self.notify()

    def start_at_zero(self, group: str, *topics: str) -> None:
        """What `topics apply` does for a topic's first readers."""
        self.commit_offsets(group, {tp: 0 for name in topics for tp in self.topic(name).partitions})

    def committed(self, group: str) -> dict[TopicPartition, int]:
        self.tick()
        return dict(self.group_offsets(group).committed)

    def is_drained(self, group: str, *topics: str) -> bool:
        """Nothing that can be read is uncommitted, and no transaction is open or on its way."""
        self.tick()
        offsets = self.group_offsets(group)
        logs = [log for topic in topics for log in self.topic(topic).logs]
        return all(log.last_stable_offset == log.high_watermark for log in logs) and all(
            offsets.stable([log.where]) and not log.read(offsets.committed.get(log.where, 0), log.high_watermark, 1)[0]
            for log in logs
        )

    def records(self, topic: str) -> list[MemoryRecord]:
        """All that a read_committed reader sees of a topic now, partition by partition."""
        self.tick()
        return [
            record
            for log in self.topic(topic).logs
            for record in log.read(log.start, log.high_watermark, max_records=2**62)[0]
        ]
