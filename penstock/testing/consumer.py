"""The consuming half of the in-memory broker: what a poll brings, in the least convenient order the port allows.

What was fetched when a rebalance came is handed over after the rebalance, still with the generation of its fetch, so
that a reader that forgets to drop stale records is found out.
"""

from collections.abc import Collection, Mapping

from penstock.errors import SystemFaultError
from penstock.stream.port import Assigned, Event, Lost, Membership, Polled, Record, Revoked, TopicPartition
from penstock.testing.cluster import Cluster
from penstock.testing.membership import GroupClient


class MemoryConsumer:
    def __init__(self, cluster: Cluster, client: GroupClient | None) -> None:
        self._cluster = cluster
        self._client = client
        self._generation = 0
        self._assigned: dict[TopicPartition, int] = {}  # with the generation of the assignment
        self._topic_ids: dict[TopicPartition, str | None] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._at_end: dict[TopicPartition, int] = {}
        self._fetched: tuple[Polled, dict[TopicPartition, int]] | None = None
        self._unacked: frozenset[TopicPartition] = frozenset()
        self._turn = 0
        self._ready: list[TopicPartition] | None = None  # what a fetch asks for; None after a change
        self._told: tuple[frozenset[TopicPartition], int, int] | None = None

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        assert not self._unacked, f"poll before the ack of the revoked {sorted(self._unacked)}"
        deadline_s = self._cluster.tick() + timeout_s
        if self._client is not None:
            if not self._client.joined:
                self._client.join()
            self._client.polled()
            if self._client.too_slow:
                self._client.too_slow = False
                raise SystemFaultError(
                    "the group has thrown this member out: it did not poll within max.poll.interval (MAX_POLL_EXCEEDED)"
                )
        while True:
            if self._fetched is None:
                self._fetched = self._fetch(max_records)
            event = self._rebalanced()
            if event is not None:
                return event
            polled = self._hand_over()
            if polled is not None:
                return polled
            left_s = deadline_s - self._cluster.now_s
            if left_s <= 0:
                return Polled((), self._generation, self._membership())
            await self._cluster.changed(left_s)

    def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._generation += 1
        self._assigned = dict.fromkeys(offsets, self._generation)
        self._positions = {}
        self._paused = set()
        self.seek(offsets)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.update(partitions)
        self._ready = None

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.difference_update(partitions)
        self._ready = None

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._check_assigned(offsets)
        self._positions.update(offsets)
        self._ready = None
        for tp in offsets:
            self._at_end.pop(tp, None)
            if self._fetched is not None and self._assigned[tp] <= self._fetched[0].generation:
                self._fetched[1].pop(tp, None)

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._positions[tp] for tp in partitions if tp in self._positions}

    def close(self) -> None:
        if self._client is not None:
            self._client.leave()
        self._assigned = {}

    def _membership(self) -> Membership | None:
        return self._client.membership if self._client is not None else None

    def _check_assigned(self, partitions: Collection[TopicPartition]) -> None:
        foreign = [str(tp) for tp in partitions if tp not in self._assigned]
        if foreign:
            raise SystemFaultError(f"{', '.join(foreign)}: not assigned to this consumer")

    # -- rebalances ------------------------------------------------------------------------------------------------

    def _rebalanced(self) -> Event | None:
        """The next thing to tell about the assignment: what is lost, what is to be given up, what is new."""
        client = self._client
        if client is None:
            return None
        standing = client.told, client.epoch, self._cluster.topics_changed
        if standing == self._told and not client.lost and not client.is_revoking:
            return None
        told = {tp: self._topic_id(tp) for tp in (client.told_before_loss if client.lost else client.told)}
        surplus = frozenset(tp for tp in self._assigned if told.get(tp, "") != self._topic_ids[tp])
        if surplus:
            self._unacked = surplus
            client.handing_over = True
            return Revoked(surplus, lambda: self._ack(surplus))  # even when the group has thrown us out since
        if client.lost:
            lost = frozenset(self._assigned)
            self._drop(lost)
            client.told_of_loss()
            if lost:
                return Lost(lost)
            told = {tp: self._topic_id(tp) for tp in client.told}
        if client.is_revoking:
            client.revoked()  # of partitions that were never handed on
        new = frozenset(tp for tp in told if tp not in self._assigned)
        known_epoch = self._told[1] if self._told is not None else 0
        self._told = client.told, client.epoch, self._cluster.topics_changed
        if not new and client.epoch == known_epoch:
            return None
        self._generation += 1
        self._ready = None
        for tp in new:
            self._assigned[tp] = self._generation
            self._topic_ids[tp] = told[tp]
            self._paused.add(tp)
        return Assigned(new, self._generation)

    def _ack(self, partitions: frozenset[TopicPartition]) -> None:
        if self._unacked != partitions:
            return
        self._unacked = frozenset()
        self._drop(partitions)
        if self._client is not None:
            self._client.handing_over = False
            self._client.revoked()

    def _drop(self, partitions: frozenset[TopicPartition]) -> None:
        self._generation += 1
        self._ready = None
        self._unacked = frozenset()
        for tp in partitions:
            del self._assigned[tp]
            self._positions.pop(tp, None)
            self._at_end.pop(tp, None)
            self._paused.discard(tp)

    def _topic_id(self, tp: TopicPartition) -> str | None:
        topic = self._cluster.topics.get(tp.topic)
        return topic.topic_id if topic is not None else None

    # -- fetching --------------------------------------------------------------------------------------------------

    def _fetch(self, max_records: int) -> tuple[Polled, dict[TopicPartition, int]] | None:
        """Records from where we are, and the positions after them; None if there is nothing to tell."""
        ready = self._ready
        if ready is None:
            ready = [tp for tp in sorted(self._assigned) if tp not in self._paused and tp in self._positions]
            self._ready = ready
        if not ready:
            return None
        self._turn += 1
        first = self._turn % len(ready)
        records: list[Record] = []
        positions: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        for tp in ready[first:] + ready[:first]:
            room = max_records - len(records)
            topic = self._cluster.topics.get(tp.topic)
            if topic is None or room == 0:
                continue
            if self._topic_ids.get(tp, topic.topic_id) != topic.topic_id:
                continue  # fetched by id: the one that was assigned is not there any more
            log = topic.logs[tp.partition]
            start = self._positions[tp]
            if not log.start <= start <= log.high_watermark:
                raise SystemFaultError(
                    f"{tp}: offset {start} is not there, the log is [{log.start}, {log.high_watermark}); records were "
                    "deleted before they were read, or the topic was made again"
                )
            end = log.last_stable_offset
            found, position = log.read(start, end, room)
            records += found
            if position >= end and self._at_end.get(tp) != position:
                ends[tp] = position
            if found or position != start or tp in ends:
                positions[tp] = position
        if not positions:
            return None
        return Polled(records, self._generation, self._membership(), ends), positions

    def _hand_over(self) -> Polled | None:
        """What was fetched, without what was paused or sought away since; stale records are left to the reader."""
        if self._fetched is None:
            return None
        polled, positions = self._fetched
        self._fetched = None
        stale = {tp for tp in positions if self._assigned.get(tp, polled.generation + 1) > polled.generation}
        good = {tp for tp in positions if tp not in stale and tp not in self._paused}
        for tp in good:
            self._positions[tp] = positions[tp]
            if tp in polled.ends:
                self._at_end[tp] = polled.ends[tp]
        told = good | stale
        records = [r for r in polled.records if TopicPartition(r.topic(), r.partition()) in told]
        ends = {tp: end for tp, end in polled.ends.items() if tp in good}
        if not records and not ends:
            return None
        return Polled(records, polled.generation, polled.membership, ends)
