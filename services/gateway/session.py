"""One client's feed: history from its cursor until it is level, then live; cursors, losses and lag told on the way.

A client that is behind is served at its own pace and loses nothing; only once it is live does its queue bound what it
may owe. It knows nothing of sockets: `send` takes bytes and returns when there is room for more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Protocol, TypeVar

from penstock.clock import Clock
from penstock.errors import DataError
from services.gateway import cursor, messages
from services.gateway.cursor import Cursor
from services.gateway.feed import Item
from services.gateway.hub import Hub, Subscriber
from services.gateway.messages import Subscribe

CURSOR_EVERY_S = 0.5
"""Half of what is promised (a cursor at least every second), so that a busy loop still keeps the promise."""
_YIELD_EVERY = 64
"""Sends between two breaths for everybody else: a send into an empty socket buffer does not wait."""

Send = Callable[[bytes], Awaitable[None]]
Read = tuple[list[Item], int]
T = TypeVar("T")


class History(Protocol):
    """The events of the topic that are no longer at hand."""

    @property
    def topic_id(self) -> str: ...

    @property
    def ends(self) -> Mapping[int, int]:
        """The ends of all partitions as last seen, for the lag."""
        ...

    @property
    def begins(self) -> Mapping[int, int]:
        """The earliest offset of each partition that is still there, seen within the last seconds."""
        ...

    async def refresh(self) -> None:
        """Looks at `begins` and `ends` anew, however long the broker takes."""
        ...

    def read(self, partition: int, start: int, end: int) -> Coroutine[None, None, Read]:
        """Some events of `[start, end)`, and the offset to go on from, which is `end` when there are no more."""
        ...


class Session:
    def __init__(self, hub: Hub, history: History, clock: Clock, send: Send) -> None:
        self._hub = hub
        self._history = history
        self._clock = clock
        self._send = send
        self._cursor_due_s = clock.monotonic_s()
        self._id: str | None = None
        self._newest_ms = 0
        self._sent = 0

    async def run(self, wanted: Subscribe) -> None:
        """Feeds the client until it is cancelled. A cursor comes before the first event.

        Raises:
            DataError: `bad-cursor`: nothing was sent.
        """
        self._id = wanted.id
        subscriber = self._hub.subscribe(wanted.wanted)
        try:
            position = dict(self._hub.position)
            if wanted.cursor is not None:
                position = await self._start(wanted.cursor)
            attached = self._hub.attach(subscriber, position)
            await self._send_cursor(position, live=attached)
            while not attached:
                await self._catch_up(subscriber, position)
                attached = self._hub.attach(subscriber, position)
            await self._live(subscriber)
        finally:
            self._hub.unsubscribe(subscriber)

    async def _start(self, at: Cursor) -> dict[int, int]:
        if any(end < offset for end, offset in zip(self._ends(), at.offsets, strict=False)):
            await self._history.refresh()  # another gateway may have read further than this one has looked
        ends = dict(enumerate(self._ends()))
        start = cursor.start_from(at, self._history.topic_id, self._history.begins, ends)
        if start.remade:
            detail = "the topic was deleted and made again since; going on from its first event"
            await self._send(messages.error_frame(DataError("cursor-expired", detail, field="cursor")))
        if start.gone:
            detail = f"up to {start.gone} events since are older than the topic keeps; going on from the earliest"
            await self._send(messages.error_frame(DataError("cursor-expired", detail, field="cursor")))
            await self._send_dropped(start.gone, "expired")
        await self._patiently(self._hub.reaches(start.offsets), start.offsets)
        return start.offsets

    def _ends(self) -> list[int]:
        """Of each partition the furthest end that is known, by looking or by reading."""
        ends, position = self._history.ends, self._hub.position
        return [max(position[partition], ends.get(partition, 0)) for partition in sorted(position)]

    async def _catch_up(self, subscriber: Subscriber, position: dict[int, int]) -> None:
        """One step towards the live feed: `position` moves on, at the client's own pace."""
        recent = self._hub.recent
        far = [partition for partition, first in recent.covered.items() if position[partition] < first]
        if not far:
            items, goal = recent.after(position), dict(self._hub.position)
        else:
            partition = max(far, key=lambda p: recent.covered[p] - position[p])
            await self._skip_expired(partition, position)
            reading = self._history.read(partition, position[partition], self._hub.position[partition])
            items, end = await self._patiently(reading, position)
            goal = {partition: end}
        for item in items:
            if subscriber.group.matches(item.facets):
                await self._send_event(item)
            position[item.partition] = item.next
            if self._cursor_is_due():
                await self._send_cursor(position, live=False)
        position.update(goal)
        if self._cursor_is_due():
            await self._send_cursor(position, live=False)

    async def _patiently(self, waiting: Coroutine[None, None, T], position: Mapping[int, int]) -> T:
        """Waits, however long the broker takes, and sends the cursors that are due meanwhile."""
        task = asyncio.create_task(waiting)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=max(0.0, self._cursor_due_s - self._clock.monotonic_s()))
                if self._cursor_is_due():
                    await self._send_cursor(position, live=False)
            return task.result()
        finally:
            task.cancel()

    async def _skip_expired(self, partition: int, position: dict[int, int]) -> None:
        """A client that reads history more slowly than the topic forgets it is told what it missed."""
        gone = self._history.begins[partition] - position[partition]
        if gone > 0:
            await self._send_dropped(gone, "expired")
            position[partition] += gone

    async def _live(self, subscriber: Subscriber) -> None:
        while True:
            dropped, item = subscriber.take_dropped(), subscriber.take()
            await self._tell_of(dropped)
            if item is not None:
                await self._send_event(item)
            if self._cursor_is_due():
                # Both at one moment: what is lost while something is sent belongs to the next cursor.
                dropped, position = subscriber.take_dropped(), dict(subscriber.position(self._hub.position))
                await self._tell_of(dropped)
                await self._send_cursor(position, live=True)
            if item is None:
                await self._wait(subscriber)

    async def _tell_of(self, dropped: int) -> None:
        """Before what comes after it: a client that keeps an event or a cursor knows what it lost on the way there."""
        if dropped:
            await self._send_dropped(dropped, "slow")

    async def _wait(self, subscriber: Subscriber) -> None:
        """For something in the queue, or until the next cursor."""
        subscriber.wake.clear()
        if len(subscriber):
            return
        try:
            async with asyncio.timeout(max(0.0, self._cursor_due_s - self._clock.monotonic_s())):
                await subscriber.wake.wait()
        except TimeoutError:
            return

    async def _send_event(self, item: Item) -> None:
        await self._send(item.frame)
        self._newest_ms = item.timestamp_ms
        self._sent += 1
        if self._sent % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    async def _send_dropped(self, count: int, why: str) -> None:
        self._hub.dropped[why] += count
        await self._send(messages.dropped_frame(count, why))

    def _cursor_is_due(self) -> bool:
        return self._clock.monotonic_s() >= self._cursor_due_s

    async def _send_cursor(self, position: Mapping[int, int], *, live: bool) -> None:
        offsets = tuple(position[partition] for partition in sorted(position))
        lag = sum(max(0, end - position[partition]) for partition, end in self._history.ends.items())
        lag_ms = max(0, self._clock.now_ms() - self._newest_ms) if lag and self._newest_ms else 0
        token = cursor.encode(Cursor(self._history.topic_id, offsets))
        await self._send(messages.cursor_frame(token, self._id, lag=lag, lag_ms=lag_ms, live=live))
        self._cursor_due_s = self._clock.monotonic_s() + CURSOR_EVERY_S
