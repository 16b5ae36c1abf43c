"""A consumer group as KIP-848 keeps it: members with epochs, a target assignment, partitions handed over one by one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from penstock.stream.port import TopicPartition
from penstock.testing.assignor import assign
from penstock.testing.refusals import Code, RefusedError


@dataclass(frozen=True, slots=True)
class MemoryMembership:
    """Who commits: checked against the group's members, never against what they own."""

    member: str
    epoch: int


@dataclass(slots=True)
class Member:
    """`assigned` is what the member may read, with the epoch at which it got it; `revoking` what it was told to give
    up and has not yet."""

    name: str
    topics: frozenset[str]
    epoch: int = 0
    assigned: dict[TopicPartition, int] = field(default_factory=dict)
    revoking: dict[TopicPartition, int] = field(default_factory=dict)
    revoking_since_s: float = 0.0

    @property
    def holds(self) -> dict[TopicPartition, int]:
        return self.assigned | self.revoking


class Group:
    """Membership of one group. Time comes in as `now_s`; who calls decides when a member's heartbeat is.

    Args:
        partitions_of: the partitions of a topic, none if there is no such topic.
    """

    def __init__(self, name: str, partitions_of: Callable[[str], Collection[TopicPartition]]) -> None:
        self.name = name
        self.epoch = 0
        self.joins = 0
        self.members: dict[str, Member] = {}
        self._partitions_of = partitions_of
        self._target: Mapping[str, frozenset[TopicPartition]] = {}

    def join(self, name: str, topics: Collection[str]) -> Member:
        self.joins += 1
        member = self.members[name] = Member(name, frozenset(topics))
        self.rebalance()
        return member

    def leave(self, name: str) -> None:
        """Also how a member is thrown out: what it held is free at once."""
        if self.members.pop(name, None) is not None:
            self.rebalance()

    def rebalance(self, *, shuffled: bool = False) -> None:
        """A new target for every member; they learn of it at their heartbeats.

        `shuffled` moves partitions without need, as a cluster does whose members come and go.
        """
        self.epoch += 1
        members = self.members.values()
        wishes = {m.name: [tp for topic in sorted(m.topics) for tp in self._partitions_of(topic)] for m in members}
        self._target = assign(wishes, {m.name: m.holds.keys() for m in members}, turn=self.epoch if shuffled else None)

    def heartbeat(self, name: str, now_s: float) -> Member:
        """Brings one member as near to its target as the others let it come.

        A member that has something to give up keeps its epoch until it has: it may still commit.
        """
        member = self.members.get(name)
        if member is None:
            raise RefusedError(Code.UNKNOWN_MEMBER, f"{name} is not a member of {self.name} any more")
        if member.revoking:
            return member
        target = self._target[name]
        if member.epoch < self.epoch:
            surplus = [tp for tp in member.assigned if tp not in target]
            if surplus:
                member.revoking = {tp: member.assigned.pop(tp) for tp in surplus}
                member.revoking_since_s = now_s
                return member
            member.epoch = self.epoch
        wanted = sorted(target - member.assigned.keys())
        if wanted:
            held = {tp for other in self.members.values() if other is not member for tp in other.holds}
            member.assigned.update({tp: member.epoch for tp in wanted if tp not in held})
        return member

    def revoked(self, name: str, now_s: float) -> Member:
        """The member has given up what it was told to."""
        member = self.members.get(name)
        if member is None:
            raise RefusedError(Code.UNKNOWN_MEMBER, f"{name} is not a member of {self.name} any more")
        member.revoking = {}
        return self.heartbeat(name, now_s)

    def forget_partitions(self, gone: Collection[TopicPartition]) -> None:
        """The topic of these partitions was deleted: nobody holds them any more."""
        for member in self.members.values():
            for tp in gone:
                member.assigned.pop(tp, None)
                member.revoking.pop(tp, None)

    def check(self, membership: MemoryMembership | None, partitions: Collection[TopicPartition]) -> None:
        """Whether offsets of these partitions may be committed: all of them or none.

        Anyone may while the group is empty. A member may at its present epoch, whatever it holds: ownership is not
        asked for. With an earlier epoch it may commit only what it has held since then (KIP-1251).
        """
        if membership is None:
            if self.members:
                raise RefusedError(Code.UNKNOWN_MEMBER, f"{self.name} has members; only they commit")
            return
        member = self.members.get(membership.member)
        if member is None:
            raise RefusedError(Code.UNKNOWN_MEMBER, f"{membership.member} is not a member of {self.name} any more")
        if membership.epoch == member.epoch:
            return
        for tp in partitions:
            since = member.holds.get(tp)
            if since is None or not since <= membership.epoch <= member.epoch:
                raise RefusedError(
                    Code.STALE_EPOCH,
                    f"{membership.member} commits {tp} with epoch {membership.epoch}; it is at {member.epoch} now and "
                    + ("does not hold it" if since is None else f"holds it since {since}"),
                )
