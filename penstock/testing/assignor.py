"""Who gets which partition: even, and as little moved as that allows. Kafka's uniform assignor in spirit."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from penstock.stream.port import TopicPartition


def assign(
    wishes: Mapping[str, Sequence[TopicPartition]],
    held: Mapping[str, AbstractSet[TopicPartition]],
    turn: int | None = None,
) -> dict[str, frozenset[TopicPartition]]:
    """Gives every partition to one of the members that wish for it.

    Args:
        wishes: member to the partitions of the topics it subscribes to.
        held: member to what it holds now; a partition held by two goes to the first by name.
        turn: forgets what is held and deals the partitions out anew, beginning with another member each turn.
    """
    members = sorted(wishes)
    wanted = sorted({tp for partitions in wishes.values() for tp in partitions})
    if not members or not wanted:
        return {member: frozenset() for member in members}
    may_take = {member: frozenset(wishes[member]) for member in members}
    if turn is not None:
        dealt = {tp: members[(turn + at) % len(members)] for at, tp in enumerate(wanted)}
        held = {member: {tp for tp, owner in dealt.items() if owner == member} for member in members}
    given: dict[str, list[TopicPartition]] = {member: [] for member in members}
    least, rest = divmod(len(wanted), len(members))
    left = list(wanted)
    for member in sorted(members, key=lambda name: -len(held.get(name, ()))):
        quota = least + (1 if rest else 0)
        keep = [tp for tp in left if tp in held.get(member, ()) and tp in may_take[member]][:quota]
        if rest and len(keep) > least:
            rest -= 1
        given[member] = keep
        left = [tp for tp in left if tp not in keep]
    for tp in left:
        takers = [member for member in members if tp in may_take[member]]
        if takers:
            given[min(takers, key=lambda name: (len(given[name]), name))].append(tp)
    return {member: frozenset(partitions) for member, partitions in given.items()}
