"""Latencies count from when an event was due, so that nobody is spared the wait behind a stall."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from loadtests.live import Live
from loadtests.open_loop import due_times, latencies, percentile

_HANGS_S = 10.0


def test_a_stall_is_charged_to_everything_that_was_due_in_it() -> None:
    due = {str(number): at for number, at in enumerate(due_times(0.0, 10, 10))}
    after_a_stall = dict.fromkeys(due, 1.0)
    assert latencies(due, after_a_stall, 1.0).ms[50.0] == pytest.approx(500.0)
    assert latencies(due, after_a_stall, 1.0).ms[100.0] == pytest.approx(1000.0)


def test_what_never_came_has_waited_until_the_end() -> None:
    found = latencies({"seen": 0.0, "lost": 0.0}, {"seen": 0.010}, ended_s=5.0)
    assert (found.count, found.unseen) == (2, 1)
    assert found.ms[100.0] == 5000.0


@pytest.mark.parametrize(("at", "value"), [(1.0, 1), (50.0, 50), (99.0, 99), (99.9, 100), (100.0, 100)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(at: float, value: float) -> None:
    assert percentile(list(range(1, 101)), at) == value


class _Services:
    """Ingest and gateway in one: it answers no POST before `together` have come, and shows all events but `dropped`."""

    def __init__(self, together: int, dropped: int = 0) -> None:
        self._together, self._dropped = together, dropped
        self._bodies: list[bytes] = []
        self._all_there = asyncio.Event()

    async def post(self, request: web.Request) -> web.Response:
        self._bodies.append(await request.read())
        if len(self._bodies) == self._together:
            self._all_there.set()
        await self._all_there.wait()
        return web.Response(status=202)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        told = web.WebSocketResponse()
        await told.prepare(request)
        assert (await told.receive()).type is WSMsgType.TEXT
        await told.send_json({"type": "cursor"})
        await self._all_there.wait()
        events = [orjson.loads(line) for body in self._bodies for line in body.splitlines()]
        for event in events[self._dropped :]:
            await told.send_json({"type": "event", "event": event})
        if self._dropped:
            await told.send_json({"type": "dropped", "count": self._dropped})
        await told.receive()
        return told


@asynccontextmanager
async def _live(services: _Services) -> AsyncIterator[Live]:
    app = web.Application()
    app.add_routes([web.post("/events", services.post), web.get("/ws", services.socket)])
    async with TestServer(app) as server, ClientSession() as http, asyncio.timeout(_HANGS_S):
        url = str(server.make_url("")).rstrip("/")
        live = Live(http, url, url)
        reading = asyncio.create_task(live.read())
        await live.subscribed.wait()
        try:
            yield live
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


async def test_a_request_goes_out_when_it_is_due_though_none_before_it_was_answered() -> None:
    async with _live(_Services(together=5)) as live:
        found = await live.offer(per_s=1000, seconds=0.01, per_request=2)
    assert (found.count, found.unseen) == (10, 0)


async def test_what_the_gateway_dropped_is_told_as_unseen() -> None:
    async with _live(_Services(together=5, dropped=3)) as live:
        found = await live.offer(per_s=1000, seconds=0.01, per_request=2)
    assert (found.count, found.unseen) == (10, 3)
