"""From POST /events to the WebSocket, through all services on one stack: idle, and at half of the most that goes."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import aiohttp
import psutil
from rich.table import Table

from loadtests import report, topics
from loadtests.comparison import spread
from loadtests.live import Live
from loadtests.open_loop import PERCENTILES, Latencies
from loadtests.report import Target
from penstock.cli.endpoints import of_stack
from penstock.cli.overview import drained, instances
from penstock.cli.supervisor import SERVICES, Supervisor
from penstock.local.state import State, StateFile

GOAL_PER_S = 500_000
_WARM_UP = 2_000
_LOOK_S = 0.5
_START_S = 120.0


def measure(chosen: argparse.Namespace) -> None:
    with topics.stack(chosen.data) as data:
        asyncio.run(_measure(chosen, data))


async def _measure(chosen: argparse.Namespace, data: Path) -> None:
    state = StateFile(data).read()
    assert state is not None
    began = report.machine()
    async with _services(state, data) as pids, aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        found = {one.service: str(one.api) for one in await instances(data) if one.api}
        live = Live(http, found["ingest"], found["gateway"])
        reading = group.create_task(live.read())
        await live.subscribed.wait()
        await live.saturate(_WARM_UP, chosen.per_request)
        await _drained(state.bootstrap_servers)
        before = _cpu_s(pids)
        most_per_s = await live.saturate(chosen.events, chosen.per_request)
        await _drained(state.bootstrap_servers)
        cost = {name: (spent - before[name]) / chosen.events * 1e6 for name, spent in _cpu_s(pids).items()}
        loads = {"idle": (chosen.idle, 1), "half load": (most_per_s / 2, chosen.per_request)}
        turns: dict[str, list[Latencies]] = {load: [] for load in loads}
        for turn in range(chosen.turns):
            for load, (per_s, per_request) in loads.items():
                turns[load].append(await live.offer(per_s, chosen.seconds, per_request))
                print(f"turn {turn + 1}, {load}: p50 {turns[load][-1].ms[50.0]:.0f} ms", file=sys.stderr, flush=True)
                await _drained(state.bootstrap_servers)
        reading.cancel()
    targets = [
        Target("idle, p50 in ms", spread([one.ms[50.0] for one in turns["idle"]]).median, below=75.0),
        Target("half load, p99 in ms", spread([one.ms[99.0] for one in turns["half load"]]).median, below=1000.0),
    ]
    _show_waits(turns, {load: per_s for load, (per_s, _) in loads.items()}, chosen)
    _show_cost(cost, most_per_s)
    report.show_targets(targets)
    told = {
        "machine": began,
        "most_per_s": most_per_s,
        "idle_per_s": chosen.idle,
        "seconds": chosen.seconds,
        "cpu_s_per_million": cost,
        "cores_for_500000_per_s": sum(cost.values()) * GOAL_PER_S / 1e6,
        "turns": {load: [asdict(one) for one in done] for load, done in turns.items()},
    }
    report.write(chosen.json, told, targets)


@asynccontextmanager
async def _services(state: State, data: Path) -> AsyncIterator[Mapping[str, int]]:
    """All of them, ready; name of every service and every part of the stack to its pid."""
    ports = {"PENSTOCK_INGEST_PORT": "0", "PENSTOCK_GATEWAY_PORT": "0", "PENSTOCK_INGEST_RATE_PER_S": "1000000"}
    with (data / "logs" / "loadtests.log").open("a") as log:
        environment = of_stack(state, data).environment() | ports
        supervisor = Supervisor(environment, lambda name, line: print(f"{name}: {line}", file=log, flush=True))
        try:
            await supervisor.start_services(SERVICES)
            async with asyncio.timeout(_START_S):
                while not {one.service for one in await instances(data) if one.state == "ready"}.issuperset(SERVICES):
                    assert len(supervisor.running) == len(SERVICES), f"a service ended: see {log.name}"
                    await asyncio.sleep(_LOOK_S)
            pids = {one.service: one.pid for one in await instances(data) if one.state == "ready"}
            yield pids | {name: part.pid for name, part in state.running.items()}
        finally:
            await supervisor.stop()


async def _drained(bootstrap_servers: str) -> None:
    while True:
        if await drained(bootstrap_servers):
            return
        await asyncio.sleep(_LOOK_S)


def _cpu_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Of each process and of its children, those that ended included."""
    spent = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        spent[name] = sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return spent


def _show_waits(
    turns: Mapping[str, Sequence[Latencies]], loads: Mapping[str, float], chosen: argparse.Namespace
) -> None:
    title = f"POST to WebSocket in ms, {chosen.turns} turns of {chosen.seconds:g} s: median (least to most)"
    waits = Table(title=title, title_justify="left", box=None)
    for heading in ("load", "events/s", *(f"p{at:g}" for at in PERCENTILES), "longest", "unseen"):
        waits.add_column(heading, justify="left" if heading == "load" else "right")
    for load, done in turns.items():
        values = [report.told(spread([one.ms[at] for one in done]), ",.0f") for at in (*PERCENTILES, 100.0)]
        waits.add_row(load, f"{loads[load]:,.0f}", *values, f"{sum(one.unseen for one in done)}")
    report.console().print(waits)


def _show_cost(cost: Mapping[str, float], most_per_s: float) -> None:
    title = f"at the most that went, {most_per_s:,.0f} events/s"
    costs = Table(title=title, title_justify="left", box=None)
    costs.add_column("process")
    for heading in ("CPU s per million events", f"cores at {GOAL_PER_S:,}/s"):
        costs.add_column(heading, justify="right")
    for name, seconds in {**cost, "all": sum(cost.values())}.items():
        costs.add_row(name, f"{seconds:,.0f}", f"{seconds * GOAL_PER_S / 1e6:,.0f}")
    report.console().print(costs)
