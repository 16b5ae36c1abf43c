"""One client's feed from its cursor to the live end, on a topic that is a list."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from penstock.clock import SystemClock
from penstock.errors import DataError
from services.gateway.cursor import Cursor, decode, encode
from services.gateway.feed import Item
from services.gateway.hub import Hub
from services.gateway.messages import parse_message
from services.gateway.session import Session
from tests.unit.gateway.feeding import hub, item


class Topic:
    """All events there ever were, and the hub that publishes them; reads of history come in twos."""

    def __init__(self, at: Hub) -> None:
        self.hub = at
        self.items: list[Item] = []
        self.topic_id = "topic-1"
        self.begins: Mapping[int, int] = dict.fromkeys(at.position, 0)
        self.reads = 0
        self.refreshed = 0
        self.seen: Mapping[int, int] = {}
        """The ends as last looked at, where they are not those that the hub has published."""
        self.real: Mapping[int, int] = {}

    @property
    def ends(self) -> Mapping[int, int]:
        return {**self.hub.position, **self.seen}

    async def refresh(self) -> None:
        self.refreshed += 1
        await asyncio.sleep(0)
        self.seen = self.real

    def publish(self, *items: Item) -> None:
        self.items += items
        self.hub.publish(items, {event.partition: event.next for event in items})

    async def read(self, partition: int, start: int, end: int) -> tuple[list[Item], int]:
        self.reads += 1
        await asyncio.sleep(0)
        found = [e for e in self.items if e.partition == partition and start < e.next <= end][:2]
        return found, found[-1].next if found else end


class Client:
    """What was sent, parted by type; `tokens` are stand-ins for events that are not JSON."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[dict[str, Any]] = []
        self.order: list[str] = []
        self.arrived = asyncio.Condition()

    async def send(self, frame: bytes) -> None:
        await asyncio.sleep(0)
        if frame.startswith(b"{"):
            self.messages.append(orjson.loads(frame))
            self.order.append(self.messages[-1]["type"])
        else:
            self.events.append(frame.decode().strip())
            self.order.append(self.events[-1])
        async with self.arrived:
            self.arrived.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(condition)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]


@asynccontextmanager
async def subscribed(topic: Topic, **subscribe: object) -> AsyncIterator[Client]:
    client = Client()
    session = Session(topic.hub, topic, SystemClock(), client.send)
    wanted = parse_message(orjson.dumps({"type": "subscribe", **subscribe}))
    running = asyncio.create_task(session.run(wanted))
    await asyncio.sleep(0)
    try:
        yield client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def at(*offsets: int, topic_id: str = "topic-1") -> str:
    return encode(Cursor(topic_id, offsets))


async def test_without_a_cursor_a_client_sees_only_what_comes() -> None:
    topic = Topic(hub())
    topic.publish(item(0))
    async with subscribed(topic) as client:
        topic.publish(item(1), item(2))
        await client.until(lambda: client.events == ["0:1", "0:2"])


async def test_a_client_far_behind_reads_history_and_goes_over_to_live_without_a_gap() -> None:
    topic = Topic(hub(partitions=2, recent=4, queue=4))
    for offset in range(20):
        topic.publish(item(offset), item(offset, 1))
    async with subscribed(topic, cursor=at(3, 15)) as client:
        for offset in range(20, 40):
            topic.publish(item(offset), item(offset, 1))
            await asyncio.sleep(0)
        await client.until(lambda: len(client.events) >= 37 + 25)
    for partition, first in ((0, 3), (1, 15)):
        got = [event for event in client.events if event.startswith(f"{partition}:")]
        assert got == [f"{partition}:{offset}" for offset in range(first, 40)]
    assert topic.reads > 0
    assert not client.of_type("dropped")


async def test_a_client_a_little_behind_is_served_without_reading_the_topic() -> None:
    topic = Topic(hub(recent=50, queue=4))
    topic.publish(*(item(offset) for offset in range(20)))
    async with subscribed(topic, cursor=at(2)) as client:
        await client.until(lambda: len(client.events) == 18)
    assert topic.reads == 0
    assert client.events[0] == "0:2"


async def test_history_is_filtered_like_the_live_feed() -> None:
    topic = Topic(hub(recent=2))
    topic.publish(*(item(offset, source="wikipedia" if offset % 3 else "github") for offset in range(12)))
    async with subscribed(topic, cursor=at(0), filter={"source": "github"}) as client:
        topic.publish(item(12, source="wikipedia"), item(13))
        await client.until(lambda: "0:13" in client.events)
    assert client.events == ["0:0", "0:3", "0:6", "0:9", "0:13"]


async def test_a_cursor_comes_even_when_nothing_happens_and_tells_that_nothing_lacks() -> None:
    topic = Topic(hub())
    topic.publish(item(0))
    async with subscribed(topic) as client:
        await client.until(lambda: len(client.of_type("cursor")) >= 2)
    last = client.of_type("cursor")[-1]
    assert (last["lag"], last["lag_ms"], last["live"]) == (0, 0, True)
    assert last["cursor"] == at(1)


@pytest.mark.parametrize("cursor", [at(0), at(18), None], ids=["far behind", "a little behind", "live"])
async def test_a_cursor_with_the_id_of_the_subscription_comes_before_its_first_event(cursor: str | None) -> None:
    topic = Topic(hub(recent=5))
    topic.publish(*(item(offset) for offset in range(20)))
    async with subscribed(topic, cursor=cursor, id="a") as client:
        topic.publish(item(20))
        await client.until(lambda: "0:20" in client.events and len(client.of_type("cursor")) >= 2)
    assert client.order[0] == "cursor"
    assert {message["id"] for message in client.of_type("cursor")} == {"a"}
    assert client.messages[0]["cursor"] == cursor or cursor is None


async def test_every_cursor_resumes_where_its_client_stood() -> None:
    topic = Topic(hub(recent=3))
    topic.publish(*(item(offset) for offset in range(10)))
    async with subscribed(topic, cursor=at(4)) as client:
        await client.until(lambda: len(client.events) == 6 and client.of_type("cursor"))
        await client.until(lambda: client.of_type("cursor")[-1]["live"])
    token = client.of_type("cursor")[-1]["cursor"]
    topic.publish(item(10), item(11))
    async with subscribed(topic, cursor=token) as again:
        await again.until(lambda: again.events == ["0:10", "0:11"])


async def test_a_slow_client_is_told_what_it_lost_before_what_comes_after() -> None:
    topic = Topic(hub(queue=3))
    async with subscribed(topic) as client:
        await client.until(lambda: client.of_type("cursor"))
        topic.publish(*(item(offset) for offset in range(10)))
        await client.until(lambda: "0:9" in client.order)
    assert client.of_type("dropped") == [{"type": "dropped", "count": 7, "why": "slow"}]
    assert client.events == ["0:7", "0:8", "0:9"]
    assert client.order.index("dropped") < client.order.index("0:7")


async def test_no_cursor_goes_past_a_loss_that_was_not_told() -> None:
    topic, clock = Topic(hub(queue=3)), StepClock(0.0)
    frames: list[bytes] = []
    told: list[tuple[int, int]] = []
    enough = asyncio.Event()

    async def send(frame: bytes) -> None:
        """A slow socket: ten more events come while the first one, the loss or the cursor after it is sent."""
        frames.append(frame)
        offset = len(topic.items)
        topic.publish(*(item(offset + more) for more in range(10)))
        clock.now_s += 1.0
        await asyncio.sleep(0)
        if frame.startswith(b"{") and orjson.loads(frame)["type"] == "cursor":
            seen = [orjson.loads(each) for each in frames if each.startswith(b"{")]
            lost = sum(message["count"] for message in seen if message["type"] == "dropped")
            told.append((decode(seen[-1]["cursor"]).offsets[0], len(frames) - len(seen) + lost))
            if len(told) == 5:
                enough.set()

    session = Session(topic.hub, topic, clock, send)
    running = asyncio.create_task(session.run(parse_message(b'{"type": "subscribe"}')))
    async with asyncio.timeout(10):
        await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all(covered == accounted for covered, accounted in told), told


async def test_a_cursor_older_than_the_topic_keeps_is_told_and_reading_goes_on_from_the_earliest() -> None:
    topic = Topic(hub(recent=2))
    topic.publish(*(item(offset) for offset in range(10)))
    topic.items = topic.items[6:]
    topic.begins = {0: 6}
    async with subscribed(topic, cursor=at(1)) as client:
        await client.until(lambda: len(client.events) == 4)
    assert client.of_type("error")[0]["reason"] == "cursor-expired"
    assert client.of_type("dropped") == [{"type": "dropped", "count": 5, "why": "expired"}]
    assert client.events == ["0:6", "0:7", "0:8", "0:9"]


async def test_a_cursor_of_a_topic_that_was_made_anew_is_told_and_reads_all_of_the_new_one() -> None:
    topic = Topic(hub())
    topic.publish(item(0), item(1))
    async with subscribed(topic, cursor=at(1, topic_id="topic-0")) as client:
        await client.until(lambda: client.events == ["0:0", "0:1"])
    assert client.of_type("error")[0]["reason"] == "cursor-expired"


async def test_a_cursor_from_elsewhere_is_refused_and_leaves_nothing_behind() -> None:
    topic = Topic(hub())
    session = Session(topic.hub, topic, SystemClock(), Client().send)
    with pytest.raises(DataError, match="bad-cursor"):
        await session.run(parse_message(orjson.dumps({"type": "subscribe", "cursor": at(99)})))
    assert topic.refreshed == 1
    assert topic.hub.filters == 0


async def test_a_cursor_of_a_gateway_that_has_read_further_is_waited_for() -> None:
    topic = Topic(hub())
    topic.publish(item(0))
    topic.seen, topic.real = {0: 1}, {0: 4}
    async with subscribed(topic, cursor=at(3)) as client:
        for offset in range(1, 5):
            topic.publish(item(offset))
            await asyncio.sleep(0)
        await client.until(lambda: "0:4" in client.events and client.of_type("cursor"))
    assert client.events == ["0:3", "0:4"]
    assert (client.messages[0]["type"], client.messages[0]["cursor"]) == ("cursor", at(3))
    assert not client.of_type("error")


async def test_while_a_cursor_is_waited_for_it_is_sent_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.session.CURSOR_EVERY_S", 0.0)
    topic = Topic(hub())
    topic.real = {0: 4}
    async with subscribed(topic, cursor=at(3)) as client:
        await client.until(lambda: len(client.of_type("cursor")) > 2)
    assert {message["cursor"] for message in client.of_type("cursor")} == {at(3)}


async def test_a_client_that_goes_leaves_nothing_behind() -> None:
    topic = Topic(hub())
    async with subscribed(topic) as client:
        await client.until(lambda: client.of_type("cursor"))
        assert topic.hub.live == 1
    assert (topic.hub.live, topic.hub.behind, topic.hub.filters) == (0, 0, 0)


class StepClock:
    """Stands still unless something is sent: each message takes its time."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.mark.parametrize("cursor", [None, at(0)], ids=["live", "far behind"])
async def test_a_cursor_comes_at_least_every_second_however_busy_the_feed_is(cursor: str | None) -> None:
    topic = Topic(hub(recent=2, queue=5000, queue_bytes=1_000_000))
    if cursor is not None:
        topic.publish(*(item(offset) for offset in range(2000)))
    clock = StepClock(0.004)
    cursors, sent = [0.0], 0
    enough = asyncio.Event()

    async def send(frame: bytes) -> None:
        nonlocal sent
        clock.now_s += clock.step_s
        sent += 1
        if frame.startswith(b"{"):
            cursors.append(clock.now_s)
        if sent == 1500:
            enough.set()

    session = Session(topic.hub, topic, clock, send)
    fields = {} if cursor is None else {"cursor": cursor}
    running = asyncio.create_task(session.run(parse_message(orjson.dumps({"type": "subscribe", **fields}))))
    await asyncio.sleep(0)
    if cursor is None:
        topic.publish(*(item(offset) for offset in range(2000)))
    async with asyncio.timeout(20):
        await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(cursors) > 5
    assert max(later - earlier for earlier, later in itertools.pairwise(cursors)) < 1.0


async def test_a_client_that_reads_history_more_slowly_than_the_topic_forgets_is_told() -> None:
    topic = Topic(hub(recent=2))
    topic.publish(*(item(offset) for offset in range(20)))
    read = topic.read

    async def read_and_forget(partition: int, start: int, end: int) -> tuple[list[Item], int]:
        found = await read(partition, start, end)
        topic.begins = {0: 10}
        topic.items = [event for event in topic.items if event.next > 10]
        return found

    topic.read = read_and_forget  # type: ignore[method-assign]  # retention strikes after the first read
    async with subscribed(topic, cursor=at(0)) as client:
        await client.until(lambda: "0:19" in client.events)
    assert client.events == ["0:0", "0:1", *(f"0:{offset}" for offset in range(10, 20))]
    assert client.of_type("dropped") == [{"type": "dropped", "count": 8, "why": "expired"}]
