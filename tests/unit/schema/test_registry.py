"""The registry's client against answers that a real one gives rarely."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from penstock.errors import DataError, PermanentError, SystemFaultError, TransientError
from penstock.schema.registry import Registry

Answer = Callable[[web.Request], Awaitable[web.Response]]
Serve = Callable[[Answer], Awaitable[Registry]]
SCHEMA = {"type": "record", "name": "R", "fields": []}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers everything with one function; returns a client of it."""
    opened: list[TestServer | Registry] = []

    async def start(answer: Answer) -> Registry:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        registry = Registry(str(server.make_url("/apis/ccompat/v7")), patience_s=0.5)
        opened.extend((registry, server))
        return registry

    yield start
    for each in opened:
        await each.close()


def saying(status: int, body: object) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return answer


async def test_a_registry_that_fails_for_a_moment_is_asked_again(serve: Serve) -> None:
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        if len(calls) < 3:
            return web.json_response({"message": "later"}, status=503)
        return web.json_response({"id": 7})

    assert await (await serve(answer)).register("events.raw-value", SCHEMA) == 7
    assert calls == ["/apis/ccompat/v7/subjects/events.raw-value/versions"] * 3


async def test_a_registry_that_goes_on_failing_is_transient(serve: Serve) -> None:
    registry = await serve(saying(500, {"message": "no database"}))
    with pytest.raises(TransientError, match=r"answers 500.*no database"):
        await registry.schema(1)


async def test_a_registry_that_is_not_there_is_transient_and_named() -> None:
    async with Registry(f"http://127.0.0.1:{unused_port()}", patience_s=0.2) as registry:
        with pytest.raises(TransientError, match=r"http://127\.0\.0\.1:\d+ does not answer"):
            await registry.schema(1)


async def test_a_registry_that_accepts_and_never_answers_is_given_up_about_when_patience_ends(serve: Serve) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    registry = await serve(never)
    async with asyncio.timeout(8):  # below the ten seconds that a patient one waits for a single answer
        with pytest.raises(TransientError, match="does not answer"):
            await registry.schema(1)


async def test_only_an_id_the_registry_does_not_know_is_a_data_error(serve: Serve) -> None:
    unknown = await serve(saying(404, {"error_code": 40403, "message": "Schema 9 not found."}))
    with pytest.raises(DataError, match="unknown-schema"):
        await unknown.schema(9)
    elsewhere = await serve(saying(404, {"title": "could not find resource for full path"}))
    with pytest.raises(SystemFaultError, match="Is the address right"):
        await elsewhere.schema(9)


@pytest.mark.parametrize("schema", ["{", '"string"', "[" * 100_000, 7, None])
async def test_what_is_registered_but_no_avro_record_is_a_data_error(serve: Serve, schema: object) -> None:
    registry = await serve(saying(200, {"schema": schema}))
    with pytest.raises(DataError, match="unknown-schema"):
        await registry.schema(3)


async def test_an_incompatible_schema_is_refused_with_the_way_out(serve: Serve) -> None:
    registry = await serve(saying(409, {"error_code": 409, "message": "x at /fields/14"}))
    with pytest.raises(PermanentError, match=r"events.raw-value is incompatible with earlier.*x at /fields/14.*check"):
        await registry.register("events.raw-value", SCHEMA)


async def test_an_address_that_is_no_registry_is_told(serve: Serve) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>")

    with pytest.raises(SystemFaultError, match="is it the address of a schema registry"):
        await (await serve(answer)).schema(1)
    async with Registry("nonsense", patience_s=0.1) as registry:
        with pytest.raises(SystemFaultError, match="no address"):
            await registry.schema(1)


async def test_a_registry_that_wants_a_password_is_a_system_fault(serve: Serve) -> None:
    with pytest.raises(SystemFaultError, match="does not let us in"):
        await (await serve(saying(401, {}))).schema(1)


async def test_a_subject_is_held_to_its_compatibility_only_where_it_is_not_yet(serve: Serve) -> None:
    level, put = {"compatibilityLevel": "NONE"}, []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "PUT":
            put.append(await request.json())
            level["compatibilityLevel"] = put[-1]["compatibility"]
        return web.json_response(level)

    registry = await serve(answer)
    assert await registry.require_compatibility("events.raw-value")
    assert not await registry.require_compatibility("events.raw-value")
    assert put == [{"compatibility": "BACKWARD_TRANSITIVE"}]


async def test_the_text_of_a_schema_does_not_depend_on_how_its_file_is_laid_out(serve: Serve) -> None:
    sent = []

    async def answer(request: web.Request) -> web.Response:
        sent.append((await request.json())["schema"])
        return web.json_response({"id": 1})

    registry = await serve(answer)
    await registry.register("a", SCHEMA)
    await registry.register("b", json.loads(json.dumps(SCHEMA, indent=4)))
    assert sent[0] == sent[1]
