"""`/api/*` on a real Postgres, and beside services that live, hang and die."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from tests.conftest import RunningStack
from tests.e2e.database import own_database, store
from tests.e2e.gateway_process import GatewayProcess, gateway
from tests.e2e.scored import make_topic, recorded, scored, sentiment

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

RED_WITHIN_S = 10.0
Answer = dict[str, Any]


class Api:
    def __init__(self, at: GatewayProcess, dsn: str, http: aiohttp.ClientSession) -> None:
        self.at = at
        self.dsn = dsn
        self._http = http

    async def get(self, path: str, *, status: int = 200) -> Answer:
        async with self._http.get(f"{self.at.url}{path}") as response:
            answer: Answer = await response.json()
            assert response.status == status, answer
            return answer

    async def uids(self, path: str) -> list[str]:
        return [event["uid"] for event in (await self.get(path))["events"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    topic = await make_topic(stack)
    await topic.close()
    data = tmp_path_factory.mktemp("gateway")
    async with (
        own_database(stack) as dsn,
        gateway(stack, data, topic.name, postgres_dsn=dsn) as at,
        aiohttp.ClientSession() as http,
    ):
        yield Api(at, dsn, http)


async def test_events_come_newest_first_and_page_by_page(api: Api) -> None:
    pages = [scored(event, source="paged") for event in itertools.islice(recorded("github"), 25)]
    uids = await store(api.dsn, pages)
    found: list[str] = []
    path = "/api/events?source=paged&limit=10"
    sizes = []
    after = ""
    while True:
        answer = await api.get(path + after)
        sizes.append(len(answer["events"]))
        found += [event["uid"] for event in answer["events"]]
        if answer["next"] is None:
            break
        after = f"&before={answer['next']}"
    assert sizes == [10, 10, 5]
    assert found == uids[::-1]


async def test_a_page_of_large_events_ends_early_and_none_is_left_out(api: Api) -> None:
    text = "x" * 1_000_000
    events = [scored(event, source="large", text=text) for event in itertools.islice(recorded("github"), 9)]
    uids = await store(api.dsn, events)
    found: list[str] = []
    path, after, sizes = "/api/events?source=large&limit=200", "", []
    while True:
        answer = await api.get(path + after)
        sizes.append(len(answer["events"]))
        found += [event["uid"] for event in answer["events"]]
        if answer["next"] is None:
            break
        after = f"&before={answer['next']}"
    assert sizes == [4, 4, 1]
    assert found == uids[::-1]


async def test_events_of_the_same_millisecond_are_on_one_page_each(api: Api) -> None:
    events = [scored(event, source="burst") for event in itertools.islice(recorded("github"), 7)]
    uids = await store(api.dsn, events, step_ms=0)
    found: list[str] = []
    answer = await api.get("/api/events?source=burst&limit=3")
    while True:
        found += [event["uid"] for event in answer["events"]]
        if answer["next"] is None:
            break
        answer = await api.get(f"/api/events?source=burst&limit=3&before={answer['next']}")
    assert sorted(found) == sorted(uids)


async def test_a_stored_event_is_the_event_that_the_websocket_sends(
    stack: RunningStack, api: Api, tmp_path: Path
) -> None:
    event = scored(
        next(recorded("weather")),
        source="both-ways",
        language={"code": "en", "confidence": 0.5},
        sentiment=sentiment("positive", 0.25),
        keywords=[{"text": "wind", "score": 0.5}],
        place={"name": "Newark", "country": "US", "latitude": 40.7, "longitude": -74.2},
    )
    await store(api.dsn, [event])
    stored = (await api.get("/api/events?source=both-ways"))["events"][0]
    topic = await make_topic(stack)
    async with (
        gateway(stack, tmp_path, topic.name) as at,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{at.url}/ws") as socket,
    ):
        await socket.send_str('{"type": "subscribe"}')
        while (await socket.receive_json())["type"] != "cursor":
            pass
        await topic.send([event])
        while (message := await socket.receive_json(timeout=20))["type"] != "event":
            pass
    await topic.close()
    sent = message["event"]
    for name in ("uid", "ingested_at"):
        assert sent.pop(name) != stored.pop(name)
    assert sent == stored


async def test_filters_find_what_they_name(api: Api) -> None:
    event = next(recorded("wikipedia"))
    french = {"code": "fr", "confidence": 0.9}
    uids = await store(
        api.dsn,
        [
            scored(event, source="found", text="Une rivière", language=french, sentiment=sentiment("neutral", 0.0)),
            scored(event, source="found", text="100% of _it_", sentiment=sentiment("negative", -0.5), kind="post"),
            scored(event, source="found", text="nothing", title="The RIVIÈRE again"),
        ],
    )
    for query, expected in (
        ("source=found", [2, 1, 0]),
        ("source=found&source=paged&text=rivi%C3%A8re", [2, 0]),
        ("source=found&language=fr", [0]),
        ("source=found&sentiment=negative&sentiment=positive", [1]),
        ("source=found&kind=post", [1]),
        ("source=found&text=100%25", [1]),
        ("source=found&text=_it_", [1]),
        ("source=found&text=%25", [1]),
        ("source=nowhere", []),
    ):
        assert await api.uids(f"/api/events?{query}") == [uids[index] for index in expected], query


async def test_events_older_than_the_days_asked_for_are_left_out(api: Api) -> None:
    event = scored(next(recorded("github")), source="old")
    await store(api.dsn, [event], first_ms=1_420_070_400_000)
    assert await api.uids("/api/events?source=old") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("days=100000", "days"),
        ("before=x", "before"),
        ("before=" + "A" * 300, "before"),
        ("offset=5", "offset"),
        ("source=", "source"),
        ("text=" + "x" * 201, "text"),
        ("text=%00", None),
    ],
)
async def test_a_question_that_is_none_is_refused_by_name(api: Api, query: str, field: str | None) -> None:
    error = (await api.get(f"/api/events?{query}", status=400))["error"]
    assert error["field"] == field
    assert error["reason"] in ("bad-parameter", "bad-filter")


async def test_what_a_client_sends_never_becomes_sql(api: Api) -> None:
    assert await api.uids("/api/events?source='%20OR%201=1--&text='%3B%20DROP%20TABLE%20events%3B--") == []
    assert (await api.get("/api/events"))["events"] is not None


class Service:
    """Stands in for a service's process: answers as one does, hangs, or is gone."""

    def __init__(self) -> None:
        self.records = 0
        self.ready = True
        self.answers = asyncio.Event()
        self.answers.set()
        self._runner: web.AppRunner | None = None

    async def start(self, run: Path, name: str) -> None:
        app = web.Application()
        app.add_routes([web.get(f"/{path}", self._answer) for path in ("livez", "readyz", "metrics")])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        told = {"service": name, "slot": 0, "pid": 1, "http": f"http://{host}:{port}", "started_at": 0}
        (run / f"{name}.0.json").write_bytes(orjson.dumps(told))

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        await self.answers.wait()
        if request.path == "/metrics":
            return web.Response(
                text=f'penstock_records_total{{stage="dedup",outcome="in"}} {self.records}\n'
                f'penstock_records_total{{stage="dedup",outcome="duplicate"}} {self.records / 5}\n'
                'penstock_lag{stage="dedup",topic="events.raw",partition="0"} 7\n'
            )
        if self.ready or request.path == "/livez":
            return web.Response()
        return web.Response(status=503, text="restoring what they need\n")


@asynccontextmanager
async def dedup(api: Api) -> AsyncIterator[Service]:
    service = Service()
    await service.start(api.at.data / "run", "dedup")
    try:
        yield service
    finally:
        service.answers.set()
        await service.stop()
        (api.at.data / "run" / "dedup.0.json").unlink()


async def until(api: Api, state: str, detail: str = "", within_s: float = RED_WITHIN_S) -> Answer:
    async with asyncio.timeout(within_s):
        while True:
            services = (await api.get("/api/health"))["services"]
            found: Answer = next(one for one in services if one["name"] == "dedup")
            if found["state"] == state and detail in found["detail"]:
                return found
            await asyncio.sleep(0.1)


async def test_a_service_is_ready_then_processing_and_its_figures_are_told(api: Api) -> None:
    async with dedup(api) as service:
        assert (await until(api, "ready"))["detail"] == "7 records waiting"
        service.records = 1000
        await until(api, "processing")
        stats = await api.get("/api/stats?history=60")
        stage = next(one for one in stats["stages"] if one["stage"] == "dedup")
        assert stage["per_s"] > 0
        assert stage["lag"] == 7
        assert stats["duplicates"]["share"] == 0.2
        assert len(stats["history"]["at_ms"]) == len(stats["history"]["per_s"]["dedup"]) > 0


async def test_a_killed_service_turns_red_within_ten_seconds(api: Api) -> None:
    async with dedup(api) as service:
        await until(api, "ready")
        await service.stop()
        assert "does not answer" in (await until(api, "error"))["detail"]


async def test_a_service_that_hangs_turns_red_within_ten_seconds(api: Api) -> None:
    async with dedup(api) as service:
        await until(api, "ready")
        service.answers.clear()
        assert "took more than" in (await until(api, "error"))["detail"]


async def test_a_service_that_stopped_in_good_order_turns_red_too(api: Api) -> None:
    async with dedup(api):
        await until(api, "ready")
    assert "not running" in (await until(api, "error"))["detail"]


async def test_a_service_that_restores_is_processing(api: Api) -> None:
    async with dedup(api) as service:
        service.ready = False
        await until(api, "processing", "restoring")


async def test_the_parts_are_ready_and_the_gateway_itself_is_looked_at(api: Api) -> None:
    well = {"kafka": "ready", "registry": "ready", "postgres": "ready", "object-store": "ready"}
    async with asyncio.timeout(RED_WITHIN_S):
        while True:
            health = await api.get("/api/health")
            if {part["name"]: part["state"] for part in health["parts"]} == well:
                break
            await asyncio.sleep(0.1)
    assert next(one for one in health["services"] if one["name"] == "gateway")["state"] != "error"
    assert health["state"] == "error"  # nothing but the gateway runs


async def test_without_its_database_and_object_store_the_gateway_lives_and_says_so(
    stack: RunningStack, tmp_path: Path
) -> None:
    topic = await make_topic(stack)
    await topic.close()
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    gone = (tmp_path / "gone").as_uri()
    async with (
        gateway(stack, tmp_path, topic.name, postgres_dsn=nowhere, object_store_url=gone) as at,
        aiohttp.ClientSession() as http,
    ):
        lonely = Api(at, nowhere, http)
        assert (await lonely.get("/api/events", status=503))["error"]["reason"] == "unavailable"
        async with asyncio.timeout(RED_WITHIN_S):
            while True:
                parts = {part["name"]: part["state"] for part in (await lonely.get("/api/health"))["parts"]}
                if parts == {"kafka": "ready", "registry": "ready", "postgres": "error", "object-store": "error"}:
                    break
                await asyncio.sleep(0.1)
