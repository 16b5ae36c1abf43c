"""From POST /events to the WebSocket, through all services on one stack: idle, and at half of the most that goes."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import psutil
from rich.table import Table

from loadtests import report, topics
from loadtests.comparison import Spread, spread
from loadtests.contender import Scheduled, scheduled
from loadtests.live import Live
from loadtests.open_loop import PERCENTILES, Latencies
from loadtests.report import Target
from penstock.cli.endpoints import of_stack
from penstock.cli.overview import drained, instances
from penstock.cli.supervisor import SERVICES, Supervisor
from penstock.local.state import State, StateFile

GOAL_PER_S = 500_000
_WARM_UP = 2_000
_BULK_PER_REQUEST = 1_000
_LOOK_S = 0.5
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Turn:
    most_per_s: float
    cpu_s_per_million: Mapping[str, float]
    """Of each process, while events came in bulk: with little in a transaction, its own cost would drown theirs."""
    idle: Latencies
    idle_waited: float
    """The share of the time in which the processes had something to do that they waited for a core."""
    half_load: Latencies
    half_load_waited: float


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
        turns = [await _turn(live, pids, state.bootstrap_servers, chosen) for _ in range(chosen.turns)]
        reading.cancel()
    targets = [
        Target("idle, p50 in ms", spread([turn.idle.ms[50.0] for turn in turns]).median, below=75.0),
        Target("half load, p99 in ms", spread([turn.half_load.ms[99.0] for turn in turns]).median, below=1000.0),
    ]
    _show_waits(turns, chosen)
    cost = {name: spread([turn.cpu_s_per_million[name] for turn in turns]) for name in pids}
    _show_cost(cost)
    report.show_targets(targets)
    told = {
        "machine": began,
        "idle_per_s": chosen.idle,
        "seconds": chosen.seconds,
        "cpu_s_per_million": {name: asdict(seconds) for name, seconds in cost.items()},
        "cores_for_500000_per_s": sum(seconds.median for seconds in cost.values()) * GOAL_PER_S / 1e6,
        "turns": [asdict(turn) for turn in turns],
    }
    report.write(chosen.json, told, targets)


async def _turn(live: Live, pids: Mapping[str, int], bootstrap_servers: str, chosen: argparse.Namespace) -> Turn:
    """What half load is, is found in the turn itself: what a busy machine leaves us changes from minute to minute."""
    before = _cpu_s(pids)
    await live.saturate(chosen.bulk, _BULK_PER_REQUEST)
    await _drained(bootstrap_servers)
    cost = {name: (spent - before[name]) / chosen.bulk * 1e6 for name, spent in _cpu_s(pids).items()}
    most_per_s = await live.saturate(chosen.events, chosen.per_request)
    await _drained(bootstrap_servers)
    began = _scheduled(pids)
    half_load = await live.offer(most_per_s / 2, chosen.seconds, chosen.per_request)
    half_load_waited = _scheduled(pids).waited_since(began)
    await _drained(bootstrap_servers)
    began = _scheduled(pids)
    idle = await live.offer(chosen.idle, chosen.seconds, 1)
    idle_waited = _scheduled(pids).waited_since(began)
    said = f"idle p50 {idle.ms[50.0]:.0f} ms, half load p99 {half_load.ms[99.0]:.0f} ms"
    print(f"{most_per_s:,.0f}/s went at most, {said}", file=sys.stderr, flush=True)
    return Turn(most_per_s, cost, idle, idle_waited, half_load, half_load_waited)


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


def _scheduled(pids: Mapping[str, int]) -> Scheduled:
    return sum((scheduled(pid) for pid in pids.values()), start=Scheduled())


def _show_waits(turns: Sequence[Turn], chosen: argparse.Namespace) -> None:
    title = f"POST to WebSocket in ms, {chosen.turns} turns of {chosen.seconds:g} s: median (least to most)"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("load", "events/s", *(f"p{at:g}" for at in PERCENTILES), "longest", "unseen", "waited"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    most = spread([turn.most_per_s / 2 for turn in turns])
    rows = {
        "idle": (f"{chosen.idle:g}", [turn.idle for turn in turns], [turn.idle_waited for turn in turns]),
        "half load": (
            report.told(most, ",.0f"),
            [turn.half_load for turn in turns],
            [turn.half_load_waited for turn in turns],
        ),
    }
    for load, (per_s, waits, waited) in rows.items():
        values = [report.told(spread([one.ms[at] for one in waits]), ",.0f") for at in (*PERCENTILES, 100.0)]
        table.add_row(load, per_s, *values, f"{sum(one.unseen for one in waits)}", report.told(spread(waited), ".0%"))
    report.console().print(table)


def _show_cost(cost: Mapping[str, Spread]) -> None:
    table = Table(title="events in bulk: median (least to most)", title_justify="left", box=None)
    table.add_column("process")
    for heading in ("CPU s per million events", f"cores at {GOAL_PER_S:,}/s"):
        table.add_column(heading, justify="right")
    for name, seconds in cost.items():
        table.add_row(name, report.told(seconds, ",.0f"), f"{seconds.median * GOAL_PER_S / 1e6:,.0f}")
    whole = sum(seconds.median for seconds in cost.values())
    table.add_row("all", f"{whole:,.0f}", f"{whole * GOAL_PER_S / 1e6:,.0f}")
    report.console().print(table)
