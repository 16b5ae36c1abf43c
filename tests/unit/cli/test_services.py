"""The rate that `penstock services` tells goes by the time that really passed between its two looks."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from aiohttp import web

from penstock.cli.overview import Instance, instances
from penstock.cli.services import rate_between


def looked(counted_s: float, taken: float, pid: int = 7) -> Instance:
    return Instance("dedup", 0, pid, "ready", None, {"in": taken}, counted_s)


def test_a_look_that_came_late_makes_no_higher_rate() -> None:
    assert rate_between(looked(10.0, 100.0), looked(11.0, 300.0)) == 200.0
    assert rate_between(looked(10.0, 100.0), looked(15.0, 1_100.0)) == 200.0


def test_without_two_looks_at_the_same_process_there_is_no_rate() -> None:
    assert rate_between(None, looked(11.0, 300.0)) == 0.0
    assert rate_between(looked(10.0, 100.0), looked(11.0, 300.0, pid=8)) == 0.0
    assert rate_between(looked(10.0, 100.0), looked(10.0, 300.0)) == 0.0
    assert rate_between(looked(10.0, 100.0), looked(11.0, 0.0)) == 0.0


class Waits:
    """A clock that a slow service moves on."""

    s = 0.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s


@pytest_asyncio.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Path, Waits]]:
    """A data folder with one service in it, whose metrics take five seconds of the clock."""
    clock = Waits()

    async def metrics(_request: web.Request) -> web.Response:
        clock.s += 5.0
        return web.Response(
            text='# TYPE penstock_records_total counter\npenstock_records_total{stage="dedup",outcome="in"} 30.0\n'
        )

    async def ready(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/readyz", ready)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told = {"service": "dedup", "slot": 0, "pid": os.getpid(), "http": "http://{}:{}".format(*runner.addresses[0])}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "dedup.0.json").write_text(json.dumps(told))
    yield tmp_path, clock
    await runner.cleanup()


async def test_a_look_is_as_late_as_its_answer(slow: tuple[Path, Waits]) -> None:
    data, clock = slow
    clock.s = 100.0
    (found,) = await instances(data, clock)
    assert (found.counts["in"], found.counted_s) == (30.0, 105.0)
