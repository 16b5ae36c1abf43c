"""The client's half of the group protocol: heartbeats in the background, whatever the process is doing."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from penstock.stream.port import TopicPartition
from penstock.testing.cluster import Cluster
from penstock.testing.group import Member, MemoryMembership
from penstock.testing.refusals import RefusedError

_WAKE_UP_S = 0.05  # from the end of a freeze to the heartbeat that should have gone out meanwhile


class GroupClient:
    """One member of a group, from its first join to its leave.

    Thrown out, it joins again in the background at once, while what it held is `lost`, which it has to be told
    (`told_of_loss`). If it was thrown out for not polling within max.poll.interval it is `too_slow`, and joins again
    only when it polls. `handing_over` is set from outside while a revocation waits for its ack: a poll is under way.
    """

    def __init__(
        self, cluster: Cluster, group: str, topics: AbstractSet[str], name: str, max_poll_interval_s: float
    ) -> None:
        self._cluster = cluster
        self._group = cluster.group(group)
        self._topics = topics
        self._name = name
        self._timings = cluster.timings
        self._max_poll_interval_s = max_poll_interval_s
        self.joined = False
        self.lost = False
        self.too_slow = False
        self.handing_over = False
        self.epoch = 0
        self.told: frozenset[TopicPartition] = frozenset()
        self.told_before_loss: frozenset[TopicPartition] = frozenset()
        self._frozen = False
        self._left = False
        self._beating = 0
        self._last_beat_s = 0.0
        self._last_poll_s = 0.0

    @property
    def membership(self) -> MemoryMembership:
        return MemoryMembership(self._name, self.epoch)

    @property
    def is_revoking(self) -> bool:
        """Told to give up partitions, and the group waits for it."""
        member = self._group.members.get(self._name)
        return member is not None and bool(member.revoking)

    def join(self) -> None:
        """At once, or as soon as there is a coordinator."""
        now_s = self._cluster.tick()
        if self._cluster.coordinators_move:
            self._when_back(self._join_late)
            return
        self._group.join(self._name, self._topics)
        self.joined = True
        self._last_beat_s = self._last_poll_s = now_s
        self._beat_from(now_s)
        self._take(self._group.heartbeat(self._name, now_s))

    def _join_late(self) -> None:
        if not self.joined and not self._left:
            self.join()

    def _when_back(self, do: Callable[[], None]) -> None:
        self._cluster.alarms.at(self._cluster.transactions.back_s, lambda _due_s: do())

    def polled(self) -> None:
        """Within max.poll.interval of the last time, or the member leaves."""
        self._last_poll_s = self._cluster.now_s

    def revoked(self) -> None:
        """The partitions we were told to give up are free now."""
        if self.lost or not self.joined or self._frozen:
            return
        if self._cluster.coordinators_move:
            self._when_back(self.revoked)
            return
        try:
            self._take(self._group.revoked(self._name, self._cluster.tick()))
        except RefusedError:
            self._lose()
        self._cluster.notify()

    def told_of_loss(self) -> None:
        self.lost = False

    def leave(self) -> None:
        self._left = True
        if self.joined and self._cluster.coordinators_move:
            self._frozen = True  # nobody hears of it: the session runs out
            return
        if self.joined:
            self._throw_out(self._cluster.now_s)
        self.joined = False
        self._beating += 1

    def freeze(self) -> None:
        """The process stops (SIGSTOP, or dies): no heartbeat goes out, the session runs."""
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False
        if self.joined:
            self._beat_from(self._cluster.now_s + _WAKE_UP_S - self._timings.heartbeat_s)

    def heartbeat(self) -> None:
        """Now, instead of when the next one is due."""
        self._beating += 1
        self._beat(self._cluster.tick(), self._beating)

    def _beat_from(self, start_s: float) -> None:
        self._beating += 1
        self._arm(start_s + self._timings.heartbeat_s)

    def _arm(self, due_s: float) -> None:
        beating = self._beating
        self._cluster.alarms.at(due_s, lambda at_s: self._beat(at_s, beating))

    def _beat(self, now_s: float, beating: int) -> None:
        if beating != self._beating or not self.joined:
            return
        if now_s < self._cluster.transactions.back_s:
            self._last_beat_s = self._cluster.transactions.back_s
            self._arm(self._last_beat_s)
            return
        if self._frozen:
            if now_s >= self._last_beat_s + self._timings.session_s:
                self._throw_out(now_s)
            else:
                self._arm(self._last_beat_s + self._timings.session_s)
            return
        self._last_beat_s = now_s
        member = self._group.members.get(self._name)
        limit_s = self._max_poll_interval_s
        silent_s = now_s - self._last_poll_s
        if member is not None and member.revoking and now_s - member.revoking_since_s > limit_s:
            self._throw_out(now_s)
        if not self.handing_over and silent_s > limit_s:
            self.too_slow = True
            self._throw_out(now_s)
        try:
            self._take(self._group.heartbeat(self._name, now_s))
        except RefusedError:
            self._lose()
            return
        self._arm(now_s + self._timings.heartbeat_s)

    def _lose(self) -> None:
        """From here on a fresh membership commits anything, before whoever polls knows that the old one is gone."""
        if not self.lost:
            self.lost = True
            self.told_before_loss = self.told
            self._cluster.notify()
        self.joined = False
        if not self.too_slow:
            self.join()

    def _take(self, member: Member) -> None:
        if self.epoch == member.epoch and self.told == member.assigned.keys():
            return
        self.epoch = member.epoch
        self.told = frozenset(member.assigned)
        self._cluster.notify()

    def _throw_out(self, now_s: float) -> None:
        self._group.leave(self._name)
        if not self._group.members:
            self._cluster.group_emptied(self._group.name, now_s)
        self._cluster.notify()
