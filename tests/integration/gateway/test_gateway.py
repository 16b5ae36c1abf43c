"""The gateway on real Kafka, registry and Postgres."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest
import pytest_asyncio

from tests.conftest import RunningStack
from tests.e2e.gateway_process import GatewayProcess, free_port, gateway
from tests.e2e.scored import ScoredTopic, make_topic, recorded, scored, sentiment

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 20.0
Message = dict[str, Any]


@pytest_asyncio.fixture(loop_scope="module")
async def topic(stack: RunningStack) -> AsyncIterator[ScoredTopic]:
    made = await make_topic(stack)
    yield made
    await made.close()


class Shared(NamedTuple):
    """A gateway and its topic for tests that neither stop the one nor need the other empty."""

    at: GatewayProcess
    topic: ScoredTopic


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    made = await make_topic(stack)
    async with gateway(stack, tmp_path_factory.mktemp("gateway"), made.name) as at:
        yield Shared(at, made)
    await made.close()


class Client:
    """What came over one WebSocket, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[Message] = []

    async def subscribe(self, **fields: object) -> None:
        await self.socket.send_str(orjson.dumps({"type": "subscribe", **fields}).decode())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self.messages.append(await self.socket.receive_json())

    async def until_closed(self) -> int:
        """The code that the gateway closes the socket with."""
        async with asyncio.timeout(WITHIN_S):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                self.messages.append(message.json())
        assert message.type is aiohttp.WSMsgType.CLOSE
        return int(message.data)

    async def until_live(self) -> None:
        await self.until(lambda: any(m["type"] == "cursor" and m["live"] for m in self.messages))

    def of_type(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def uids(self) -> list[str]:
        return [message["event"]["uid"] for message in self.of_type("event")]

    @property
    def cursor(self) -> str:
        return str(self.of_type("cursor")[-1]["cursor"])


@asynccontextmanager
async def client(at: GatewayProcess, **headers: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{at.url}/ws", headers=headers) as socket:
        yield Client(socket)


async def test_events_come_live_and_filtered(shared: Shared) -> None:
    edits = list(itertools.islice(recorded("wikipedia"), 20))
    pushes = list(itertools.islice(recorded("github"), 20))
    async with client(shared.at) as everything, client(shared.at) as some:
        await everything.subscribe()
        await some.subscribe(filter={"source": "wikipedia"})
        await everything.until_live()
        await some.until_live()
        uids = await shared.topic.send([*edits, *pushes])
        await everything.until(lambda: len(everything.uids) == 40)
        await some.until(lambda: len(some.uids) == 20)
    assert sorted(everything.uids) == sorted(uids)
    assert sorted(some.uids) == sorted(uids[:20])
    first = some.of_type("event")[0]["event"]
    original = next(edit for edit in edits if edit["id"] == first["id"])
    assert (first["title"], first["author"], first["text"]) == (original["title"], original["author"], original["text"])


async def test_nothing_of_the_earlier_subscription_comes_after_the_answer_to_the_later_one(shared: Shared) -> None:
    events = [*itertools.islice(recorded("wikipedia"), 200), *itertools.islice(recorded("github"), 20)]
    async with client(shared.at) as one:
        await one.subscribe(id="all")
        await one.until_live()
        sending = asyncio.create_task(shared.topic.send(events))
        await one.until(lambda: len(one.uids) > 0)
        await one.subscribe(id="some", filter={"source": "github"})
        await one.until(lambda: any(message.get("id") == "some" for message in one.of_type("cursor")))
        answered = next(at for at, message in enumerate(one.messages) if message.get("id") == "some")
        await sending
        last = await shared.topic.send(itertools.islice(recorded("github"), 5))
        await one.until(lambda: set(last) <= set(one.uids))
    assert {m["event"]["source"] for m in one.messages[answered:] if m["type"] == "event"} == {"github"}


async def test_a_restart_of_the_gateway_is_survived_without_a_gap(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    events = itertools.cycle(recorded("github"))
    async with gateway(stack, tmp_path, topic.name, recent_events="10") as at:
        async with client(at) as before:
            await before.subscribe()
            await before.until_live()
            sent = await topic.send(itertools.islice(events, 50))
            await before.until(lambda: len(before.uids) == 50)
            await before.until(lambda: before.messages[-1]["type"] == "cursor")
        await at.stop(signal.SIGKILL)
        sent += await topic.send(itertools.islice(events, 700))  # far more than the ten that are kept at hand
        await at.start()
        async with client(at) as after:
            await after.subscribe(cursor=before.cursor)
            await after.until_live()
            sent += await topic.send(itertools.islice(events, 30))
            await after.until(lambda: len(set(before.uids) | set(after.uids)) == len(sent))
    assert set(before.uids) | set(after.uids) == set(sent)
    assert not after.of_type("dropped")


async def test_a_cursor_older_than_the_topic_keeps_is_told_and_goes_on_from_the_earliest(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    events = list(itertools.islice(recorded("github"), 30))
    async with gateway(stack, tmp_path, topic.name, recent_events="1") as at:
        async with client(at) as before:
            await before.subscribe()
            await before.until_live()
            await before.until(lambda: before.messages[-1]["type"] == "cursor")
        sent = await topic.send(events)
        await topic.forget(5)
        await at.stop()
        await at.start()
        async with client(at) as after:
            await after.subscribe(cursor=before.cursor)
            await after.until(lambda: len(after.uids) == 15)
    assert after.of_type("error")[0]["reason"] == "cursor-expired"
    assert after.of_type("dropped") == [{"type": "dropped", "count": 15, "why": "expired"}]
    assert set(after.uids) == set(sent[15:])


async def test_a_gateway_that_stops_says_that_it_goes_away_and_leaves_nothing(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    async with gateway(stack, tmp_path, topic.name) as at, client(at) as one:
        await one.subscribe()
        await one.until_live()
        assert await at.stop() == 0
        assert await one.until_closed() == aiohttp.WSCloseCode.GOING_AWAY
    assert not (tmp_path / "run" / "gateway.0.json").exists()


async def test_messages_that_are_none_are_answered_and_the_socket_lives(shared: Shared) -> None:
    async with client(shared.at) as one:
        for message in (
            "{",
            "[]",
            '{"type": "subscribe", "filter": {"x": 1}}',
            '{"type": "subscribe", "cursor": "1.x"}',
        ):
            await one.socket.send_str(message)
        await one.socket.send_bytes(b"\0")
        await one.until(lambda: len(one.messages) == 5)
        reasons = [message["reason"] for message in one.messages]
        assert reasons == ["bad-message", "bad-message", "bad-filter", "bad-cursor", "bad-message"]
        await one.subscribe()
        await one.until_live()


async def test_a_message_that_is_too_large_closes_only_its_own_socket(shared: Shared) -> None:
    async with client(shared.at) as large, client(shared.at) as small:
        await large.socket.send_str("x" * 100_000)
        assert await large.until_closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await small.subscribe()
        await small.until_live()


async def test_a_client_that_talks_without_end_is_shown_out(shared: Shared) -> None:
    async with client(shared.at) as one:
        for _ in range(40):
            await one.socket.send_str("{}")
        assert await one.until_closed() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_client_that_does_not_read_loses_events_and_the_others_do_not(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    event = next(recorded("github"))
    large = [scored(event, text="river " * 4000) for _ in range(1500)]
    settings = {"queue_events": "50", "recent_events": "50"}
    async with gateway(stack, tmp_path, topic.name, **settings) as at, client(at) as quick, client(at) as slow:
        for one in (quick, slow):
            await one.subscribe()
            await one.until_live()
        sent: set[str] = set()
        for start in range(0, len(large), 20):
            sent |= set(await topic.send(large[start : start + 20]))
            await quick.until(lambda: len(set(quick.uids)) == len(sent))  # noqa: B023  called at once
        assert not quick.of_type("dropped")
        last = await topic.send([scored(event, text="the last one")])
        await slow.until(lambda: last[0] in slow.uids)
    dropped = sum(message["count"] for message in slow.of_type("dropped"))
    assert dropped > 0
    assert dropped + len(slow.uids) == len(sent) + 1
    assert {message["why"] for message in slow.of_type("dropped")} == {"slow"}


async def test_more_clients_than_allowed_are_told_to_come_back(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    async with gateway(stack, tmp_path, topic.name, max_clients="1") as at, client(at):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with client(at):
                pass
        assert refused.value.status == 503
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org", "Origin": "http://example.org"}],
)
async def test_pages_of_other_sites_are_not_let_in(shared: Shared, headers: dict[str, str]) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with client(shared.at, **headers):
            pass
    assert refused.value.status == 403
    async with client(shared.at, Origin=shared.at.url) as own:
        await own.subscribe()
        await own.until_live()


async def test_a_record_that_cannot_be_read_stops_nothing(shared: Shared) -> None:
    async with client(shared.at) as one:
        await one.subscribe()
        await one.until_live()
        for value in (None, b"", b"\x01junk", b"\0\0\0\0\1", b"\0\x7f\xff\xff\xff..."):
            await shared.topic.send_raw(value)
        uids = await shared.topic.send([next(recorded("weather"))])
        await one.until(lambda: one.uids == uids)


async def test_language_and_sentiment_can_be_asked_for(shared: Shared) -> None:
    event = next(recorded("wikipedia"))
    french = {"code": "fr", "confidence": 0.9}
    async with client(shared.at) as one:
        await one.subscribe(filter={"language": "fr", "sentiment": ["negative", "positive"]})
        await one.until_live()
        uids = await shared.topic.send(
            [
                event,
                scored(event, language=french, sentiment=sentiment("neutral", 0.0)),
                scored(event, language=french, sentiment=sentiment("negative", -0.5)),
            ]
        )
        await one.until(lambda: len(one.uids) == 1)
    assert one.uids == [uids[2]]


async def test_a_port_that_was_asked_for_and_is_taken_is_an_error(
    stack: RunningStack, topic: ScoredTopic, tmp_path: Path
) -> None:
    async with gateway(stack, tmp_path / "one", topic.name) as first:
        second = GatewayProcess(stack, tmp_path / "two", topic.name, {"PENSTOCK_GATEWAY_PORT": str(first.port)})
        with pytest.raises(AssertionError):
            await second.start()
        assert await second.stop() == 3
        assert f"port {first.port}" in second.log


async def test_a_missing_topic_is_an_error_that_says_what_to_do(stack: RunningStack, tmp_path: Path) -> None:
    process = GatewayProcess(stack, tmp_path, f"nowhere.{free_port()}", {})
    with pytest.raises(AssertionError):
        await process.start()
    assert await process.stop() == 3
    assert "penstock topics apply" in process.log
