"""The OpenAPI document says what the gateway does: its paths, its parameters, and the form of every answer."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import jsonschema
import orjson
import pytest
import pytest_asyncio

from services.gateway import filters, messages, query, series
from tests.conftest import RunningStack
from tests.e2e.database import own_database, store
from tests.e2e.gateway_process import GatewayProcess, gateway
from tests.e2e.scored import ScoredTopic, make_topic, recorded, scored, sentiment

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

DOCUMENT: dict[str, Any] = orjson.loads((Path(query.__file__).parent / "openapi.json").read_bytes())


def problems(schema: str, value: object) -> list[str]:
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    validator = jsonschema.Draft202012Validator(whole)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def parameters(path: str) -> dict[str, Any]:
    listed = DOCUMENT["paths"][path]["get"]["parameters"]
    resolved = [
        DOCUMENT["components"]["parameters"][one["$ref"].split("/")[-1]] if "$ref" in one else one for one in listed
    ]
    return {one["name"]: one["schema"] for one in resolved}


class Running(NamedTuple):
    at: GatewayProcess
    topic: ScoredTopic
    http: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(f"{self.at.url}{path}") as response:
            return response.status, await response.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    topic = await make_topic(stack)
    async with (
        own_database(stack) as dsn,
        gateway(stack, tmp_path_factory.mktemp("gateway"), topic.name, postgres_dsn=dsn) as at,
        aiohttp.ClientSession() as http,
    ):
        await store(
            dsn, [_rich(), *itertools.islice(recorded("github"), 20), *itertools.islice(recorded("weather"), 5)]
        )
        yield Running(at, topic, http)
    await topic.close()


def _rich() -> dict[str, Any]:
    """An event with something in every field."""
    return scored(
        next(recorded("wikipedia")),
        language={"code": "en", "confidence": 0.5},
        sentiment=sentiment("positive", 0.25),
        location={"latitude": 40.7, "longitude": -74.2, "name": None},
        place={"name": "Newark", "country": "US", "latitude": None, "longitude": None},
        topics=[{"name": "weather", "score": 1.0}],
    )


async def test_every_path_of_the_document_is_there_and_no_other(running: Running) -> None:
    async with running.http.get(f"{running.at.url}/openapi.json") as response:
        assert await response.json() == DOCUMENT
    for path in DOCUMENT["paths"]:
        async with running.http.get(f"{running.at.url}{path}") as response:
            assert response.status == (426 if path == "/ws" else 200), path
    source = (Path(query.__file__).parent / "server.py").read_text()
    served = {line.split('"')[1] for line in source.splitlines() if "router.add_get(" in line}
    assert served == set(DOCUMENT["paths"])


async def test_the_documented_parameters_and_bounds_are_those_of_the_code(running: Running) -> None:
    known = parameters("/api/events")
    assert set(known) == set(query.PARAMETERS)
    assert (known["limit"]["maximum"], known["limit"]["default"]) == (query.MAX_LIMIT, query.DEFAULT_LIMIT)
    assert (known["days"]["maximum"], known["days"]["default"]) == (query.MAX_DAYS, query.DEFAULT_DAYS)
    assert known["text"]["maxLength"] == filters.MAX_TEXT_CHARS
    values = DOCUMENT["components"]["schemas"]["Values"]
    assert (values["maxItems"], values["items"]["maxLength"]) == (filters.MAX_VALUES, filters.MAX_VALUE_CHARS)
    assert parameters("/api/stats")["history"]["maximum"] == series.SERIES_S
    subscribe = DOCUMENT["components"]["schemas"]["Subscribe"]["properties"]["filter"]["properties"]
    assert set(subscribe) == set(filters.FIELDS)
    assert f"{messages.MAX_MESSAGE_BYTES // 1024} KiB" in DOCUMENT["paths"]["/ws"]["get"]["description"]


@pytest.mark.parametrize(
    ("path", "status", "schema"),
    [
        ("/api/events?limit=100", 200, "EventPage"),
        ("/api/events?limit=2", 200, "EventPage"),
        ("/api/events?source=nowhere", 200, "EventPage"),
        ("/api/events?limit=no", 400, "Failure"),
        ("/api/stats", 200, "Stats"),
        ("/api/stats?history=900", 200, "Stats"),
        ("/api/stats?history=901", 400, "Failure"),
        ("/api/health", 200, "Health"),
    ],
)
async def test_an_answer_has_the_form_that_is_documented(running: Running, path: str, status: int, schema: str) -> None:
    found, answer = await running.get(path)
    assert found == status
    assert str(found) in DOCUMENT["paths"][path.partition("?")[0]]["get"]["responses"]
    assert problems(schema, answer) == []


async def test_the_messages_of_the_websocket_have_the_form_that_is_documented(running: Running) -> None:
    async with running.http.ws_connect(f"{running.at.url}/ws") as socket:
        subscribe = {"type": "subscribe", "filter": {"source": ["wikipedia"], "text": None}, "cursor": None}
        assert problems("Subscribe", subscribe) == []
        await socket.send_str('{"type": "nonsense"}')
        await socket.send_str(orjson.dumps(subscribe).decode())
        seen = [await socket.receive_json(timeout=20), await socket.receive_json(timeout=20)]
        await running.topic.send([_rich()])
        while seen[-1]["type"] != "event":
            seen.append(await socket.receive_json(timeout=20))
    assert {message["type"] for message in seen} == {"error", "cursor", "event"}
    for message in (*seen, orjson.loads(messages.dropped_frame(3, "slow"))):
        assert problems("Message", message) == []


async def test_an_answer_of_another_form_would_be_seen() -> None:
    assert problems("Health", {"at": "now", "state": "fine", "services": [], "parts": []})
    assert problems("Message", {"type": "cursor", "cursor": 5})
