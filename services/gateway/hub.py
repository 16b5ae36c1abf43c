"""The fan-out: each event is looked at once per distinct filter and put, as the same bytes, into bounded queues.

Publishing never waits for a client. A client that does not keep up loses the oldest of its queue and is told how many,
and nobody else notices. All of this is plain state: one task publishes, each client's own task takes from its queue.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.cursor import Vector
from services.gateway.feed import Item, Recent
from services.gateway.filters import Filter, Matcher, compile_filter


@dataclass(frozen=True, slots=True)
class QueueLimit:
    events: int
    size_bytes: int


class Subscriber:
    """One client's place at the hub: what waits for it, what it lost, and how far it has come."""

    def __init__(self, group: "Group", limit: QueueLimit) -> None:
        self.group = group
        self.wake = asyncio.Event()
        """Set when something was put into the queue."""
        self._limit = limit
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._dropped = 0
        self._taken: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def has_room_for(self, items: Sequence[Item]) -> bool:
        """Whether a queue that begins with these is at most half full."""
        return (
            len(items) <= self._limit.events // 2
            and sum(len(item.frame) for item in items) <= self._limit.size_bytes // 2
        )

    def offer(self, item: Item) -> None:
        """Puts an event at the end; makes room at the front where there is none. The newest event always stays."""
        self._queue.append(item)
        self._bytes += len(item.frame)
        while len(self._queue) > 1 and (len(self._queue) > self._limit.events or self._bytes > self._limit.size_bytes):
            self._pop()
            self._dropped += 1

    def take(self) -> Item | None:
        return self._pop() if self._queue else None

    def take_dropped(self) -> int:
        """How many events were lost since this was last asked; they were older than all that waits."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def begin(self, position: Vector, items: Sequence[Item]) -> None:
        """Goes live at `position`, with these events first."""
        self._taken = dict(position)
        for item in items:
            self.offer(item)
        self.wake.set()

    def position(self, published: Vector) -> Vector:
        """How far everything that the client wants has been taken (or dropped), given how far the hub has published.

        With an empty queue that is all of it; else what was taken, exact for each partition that it was taken of and
        on the safe side, too early, for the others.
        """
        if not self._queue:
            self._taken = dict(published)
        return self._taken

    def _pop(self) -> Item:
        item = self._queue.popleft()
        self._bytes -= len(item.frame)
        self._taken[item.partition] = item.next
        return item


@dataclass(eq=False, slots=True)
class Group:
    """All clients with the same filter, which is compiled once for them."""

    wanted: Filter
    matches: Matcher
    live: set[Subscriber] = field(default_factory=set)
    behind: set[Subscriber] = field(default_factory=set)
    """Those who still read history: nothing is published to them."""


class Hub:
    """
    Args:
        recent: keeps what is published; publishing begins where it begins, and its partitions are all there are.
    """

    def __init__(self, recent: Recent, limit: QueueLimit) -> None:
        self.recent = recent
        self.position = dict(recent.covered)
        """Everything before these offsets was published."""
        self.dropped: Counter[str] = Counter()
        """Events that clients were told they lost, by why."""
        self._limit = limit
        self._groups: dict[Filter, Group] = {}
        self._moved = asyncio.Event()
        """Of the next publishing."""

    @property
    def filters(self) -> int:
        """How many distinct filters each event is looked at with."""
        return len(self._groups)

    @property
    def live(self) -> int:
        return sum(len(group.live) for group in self._groups.values())

    @property
    def behind(self) -> int:
        return sum(len(group.behind) for group in self._groups.values())

    def subscribe(self, wanted: Filter) -> Subscriber:
        """A new client, not live yet; it has to be taken off again by `unsubscribe`."""
        group = self._groups.get(wanted)
        if group is None:
            group = self._groups[wanted] = Group(wanted, compile_filter(wanted))
        subscriber = Subscriber(group, self._limit)
        group.behind.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        group = subscriber.group
        group.live.discard(subscriber)
        group.behind.discard(subscriber)
        if not group.live and not group.behind:
            self._groups.pop(group.wanted, None)

    def attach(self, subscriber: Subscriber, position: Vector) -> bool:
        """Joins a client that has everything before `position` to the live feed, without a gap and without a loss.

        False, and nothing done, if it is too far behind: what it lacks is no longer at hand or would fill its queue.
        """
        if not self.recent.covers(position):
            return False
        group = subscriber.group
        missing = [item for item in self.recent.after(position) if group.matches(item.facets)]
        if not subscriber.has_room_for(missing):
            return False
        subscriber.begin(position, missing)
        group.behind.discard(subscriber)
        group.live.add(subscriber)
        return True

    async def reaches(self, position: Vector) -> None:
        """Returns when everything before `position` was published."""
        while any(self.position[partition] < offset for partition, offset in position.items()):
            await self._moved.wait()

    def publish(self, items: Sequence[Item], position: Vector) -> None:
        """Gives events, in partition order, to all who want them; `position` is where reading stands after them."""
        self.recent.add(items)
        self.position.update(position)
        self._moved.set()
        self._moved = asyncio.Event()
        for group in self._groups.values():
            wanted = [item for item in items if group.matches(item.facets)]
            if not wanted:
                continue
            for subscriber in group.live:
                for item in wanted:
                    subscriber.offer(item)
                subscriber.wake.set()
