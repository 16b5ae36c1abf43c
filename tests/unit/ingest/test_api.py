"""POST /events over real HTTP, with a publisher in memory."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from penstock.errors import DataError, PenstockError, SystemFaultError, TransientError
from penstock.metrics import RECORDS, Metrics
from penstock.stream.port import Outgoing
from services.ingest.api import MAX_UNDER_WAY, Api
from services.ingest.bodies import MAX_BODY_BYTES, MAX_EVENTS
from services.ingest.token_bucket import TokenBucket
from tests.unit.ingest.building import HandClock, MemoryPublisher, acceptor, posted

TOKEN = "a-token-of-enough-length"
Client = TestClient[web.Request, web.Application]


@dataclass
class Door:
    publisher: MemoryPublisher = field(default_factory=MemoryPublisher)
    clock: HandClock = field(default_factory=HandClock)
    metrics: Metrics = field(default_factory=Metrics)
    failures: list[PenstockError] = field(default_factory=list)
    rate_per_s: float = 10_000
    burst: float = 20_000
    token: str | None = None
    body_timeout_s: float = 30

    def client(self) -> Client:
        bucket = TokenBucket(self.rate_per_s, self.burst)
        api = Api(
            *(acceptor(), self.publisher, bucket, self.token, self.clock, self.metrics, self.failures.append),
            body_timeout_s=self.body_timeout_s,
        )
        return TestClient(TestServer(api.application()))

    def counted(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value(f"{RECORDS.name}_total", {"stage": "ingest", "outcome": outcome})
            or 0
        )


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client() as client:
        yield client


def ndjson(*objects: Any) -> bytes:
    return b"\n".join(orjson.dumps(obj) for obj in objects)


async def post(client: Client, body: bytes, **headers: str) -> tuple[int, Any, Any]:
    async with client.post("/events", data=io.BytesIO(body), headers=headers) as response:
        return response.status, await response.json(), response.headers


async def test_one_event_is_answered_202_after_its_ack(door: Door, client: Client) -> None:
    status, answer, headers = await post(client, orjson.dumps(posted()))
    assert (status, answer) == (202, {"accepted": 1, "errors": []})
    assert headers["Content-Type"].startswith("application/json")
    assert [event.id for event in door.publisher.events] == ["shop:1"]
    assert door.publisher.events[0].ingested_at == door.clock.ms


async def test_a_retry_has_the_same_key_and_another_identity(door: Door, client: Client) -> None:
    for _ in range(2):
        await post(client, orjson.dumps(posted()))
    first, second = door.publisher.records
    assert first.key == second.key
    assert dict(first.headers)["uid"] != dict(second.headers)["uid"]


async def test_good_and_bad_lines_are_answered_207(door: Door, client: Client) -> None:
    status, answer, _ = await post(client, ndjson(posted(1), posted(2, kind="x"), posted(3)) + b"\n{")
    assert (status, answer["accepted"]) == (207, 2)
    assert [(error["line"], error["field"]) for error in answer["errors"]] == [(2, "kind"), (4, None)]
    assert all(set(error) == {"line", "field", "reason"} for error in answer["errors"])
    assert [event.id for event in door.publisher.events] == ["shop:1", "shop:3"]
    assert (door.counted("in"), door.counted("out"), door.counted("refused")) == (4, 2, 2)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}"])
async def test_nothing_good_is_answered_400(door: Door, client: Client, body: bytes) -> None:
    status, answer, _ = await post(client, body)
    assert (status, answer["accepted"], len(answer["errors"])) == (400, 0, 1)
    assert not door.publisher.records


async def test_a_body_that_is_too_large_is_answered_413(door: Door, client: Client) -> None:
    status, answer, _ = await post(client, b" " * (MAX_BODY_BYTES + 1))
    assert (status, answer["accepted"]) == (413, 0)
    assert "8,388,608 bytes" in answer["errors"][0]["reason"]


async def test_a_packed_body_that_unpacks_too_large_is_answered_413(client: Client) -> None:
    status, _, _ = await post(client, gzip.compress(b" " * (MAX_BODY_BYTES + 1)), **{"Content-Encoding": "gzip"})
    assert status == 413


async def test_a_packed_body_is_unpacked(client: Client) -> None:
    status, _, _ = await post(client, gzip.compress(orjson.dumps(posted())), **{"Content-Encoding": "gzip"})
    assert status == 202


async def test_more_than_a_thousand_events_are_answered_413(door: Door, client: Client) -> None:
    status, answer, _ = await post(client, ndjson(*map(posted, range(MAX_EVENTS + 1))))
    assert (status, answer["accepted"]) == (413, 0)
    assert not door.publisher.records


async def test_a_thousand_events_are_one_batch(door: Door, client: Client) -> None:
    status, answer, _ = await post(client, ndjson(*map(posted, range(MAX_EVENTS))))
    assert (status, answer["accepted"]) == (202, MAX_EVENTS)
    assert door.publisher.batches == [MAX_EVENTS]


async def test_five_megabytes_of_text_are_one_bad_line(door: Door, client: Client) -> None:
    status, answer, _ = await post(client, ndjson(posted(1, text="x" * 5_000_000), posted(2)))
    assert (status, answer["accepted"]) == (207, 1)
    assert answer["errors"][0]["field"] == "text"
    assert answer["errors"][0]["reason"].startswith("too-large")


async def test_too_many_at_once_are_answered_429_with_the_time_to_wait(door: Door) -> None:
    door.rate_per_s, door.burst = 10, 1_000
    async with door.client() as client:
        assert (await post(client, ndjson(*map(posted, range(990)))))[0] == 202
        status, answer, headers = await post(client, ndjson(*map(posted, range(50))))
        assert (status, answer["accepted"], headers["Retry-After"]) == (429, 0, "4")
        assert len(door.publisher.records) == 990
        door.clock.s += 4
        assert (await post(client, ndjson(*map(posted, range(50)))))[0] == 202


async def test_bad_lines_use_up_the_rate_too(door: Door) -> None:
    door.rate_per_s, door.burst = 1, 3
    async with door.client() as client:
        statuses = [(await post(client, b"bad"))[0] for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


async def test_without_the_brokers_ack_it_is_503(door: Door, client: Client) -> None:
    door.publisher.errors = [TransientError("the broker did not acknowledge in time")] * 2
    status, answer, headers = await post(client, ndjson(posted(1), posted(2)))
    assert (status, answer["accepted"], headers["Retry-After"]) == (503, 0, "1")
    assert door.counted("failed") == 2
    assert not door.failures
    assert (await post(client, ndjson(posted(1), posted(2))))[0] == 202


async def test_with_some_acks_missing_it_is_503_and_says_how_many_are_in(door: Door, client: Client) -> None:
    door.publisher.errors = [None, TransientError("away")]
    status, answer, _ = await post(client, ndjson(posted(1), posted(2)))
    assert (status, answer["accepted"]) == (503, 1)


async def test_what_the_broker_refuses_as_data_is_told_with_its_line(door: Door, client: Client) -> None:
    door.publisher.errors = [None, DataError("too-large", "the record is larger than its topic allows")]
    status, answer, _ = await post(client, b"\n" + ndjson(posted(1), posted(2)))
    assert (status, answer["accepted"], answer["errors"][0]["line"]) == (207, 1, 3)


async def test_a_clock_that_is_ahead_stops_the_service_and_is_503_to_the_client(door: Door, client: Client) -> None:
    ahead = SystemFaultError("stop: this machine's clock is ahead of the broker's")
    door.publisher.errors = [ahead]
    status, _, _ = await post(client, orjson.dumps(posted()))
    assert status == 503
    assert door.failures == [ahead]


async def test_with_a_token_set_only_its_bearer_gets_in(door: Door) -> None:
    door.token = TOKEN
    async with door.client() as client:
        body = orjson.dumps(posted())
        for authorization in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer ä"):
            status, answer, headers = await post(client, body, Authorization=authorization)
            assert (status, answer["accepted"], headers["WWW-Authenticate"]) == (401, 0, "Bearer")
        assert not door.publisher.records
        for scheme in ("Bearer", "bearer"):
            assert (await post(client, body, Authorization=f"{scheme} {TOKEN}"))[0] == 202


async def test_a_page_in_a_browser_may_not_post_where_no_token_guards(door: Door, client: Client) -> None:
    assert (await post(client, orjson.dumps(posted()), Origin="https://evil.example"))[0] == 403
    assert not door.publisher.records


async def test_a_callers_trace_goes_on(door: Door, client: Client) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await post(client, orjson.dumps(posted()), traceparent=trace)
    assert dict(door.publisher.records[0].headers)["traceparent"] == trace.encode()


async def test_a_body_that_does_not_come_is_answered_408(door: Door) -> None:
    door.body_timeout_s = 0.05

    async def never() -> AsyncIterator[bytes]:
        yield b'{"source": '
        await asyncio.sleep(60)

    async with door.client() as client, client.post("/events", data=never()) as response:
        assert response.status == 408
        assert (await response.json())["accepted"] == 0


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/events", 405), ("POST", "/", 404)])
async def test_there_is_nothing_else(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as response:
        assert response.status == status


async def test_only_so_many_bodies_are_in_memory_at_a_time(door: Door) -> None:
    waiting, most = 0, 0
    let_go = asyncio.Event()

    class Slow(MemoryPublisher):
        async def publish(self, batch: Sequence[Outgoing]) -> list[PenstockError | None]:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            if waiting == MAX_UNDER_WAY:
                let_go.set()
            await let_go.wait()
            waiting -= 1
            return await super().publish(batch)

    door.publisher = Slow()
    async with door.client() as client:
        posts = [post(client, orjson.dumps(posted(number))) for number in range(2 * MAX_UNDER_WAY)]
        answers = await asyncio.gather(*posts)
    assert {answer[0] for answer in answers} == {202}
    assert most == MAX_UNDER_WAY
