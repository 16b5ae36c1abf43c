"""What the running services say of themselves, and how far they are behind."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from penstock import metrics
from penstock.cli.supervisor import SERVICES
from penstock.clock import Clock, SystemClock
from penstock.schema.catalogue import load_catalogue
from penstock.stream.lag import LagReader

_ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Instance:
    """One process: `state` is ready, starting, unanswering or gone; `counts` by outcome since it started."""

    service: str
    slot: int
    pid: int
    state: str
    api: str | None
    counts: Mapping[str, float]
    counted_s: float
    """When the counts came, on the monotonic clock of `instances`."""


def inputs() -> dict[str, list[str]]:
    """The topics each service's group reads, by the catalogue."""
    found: dict[str, list[str]] = {service: [] for service in SERVICES}
    for topic in load_catalogue().topics:
        for service in topic.read_by:
            found.setdefault(service, []).append(topic.name)
    return {service: topics for service, topics in found.items() if topics}


async def instances(data: Path, clock: Clock | None = None) -> list[Instance]:
    """Of every service that announced itself in DATA/run, in flow order."""
    order = list(SERVICES)
    told = []
    for path in (data / "run").glob("*.json"):
        try:
            told.append(json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError):
            continue  # it is being replaced, or went in between
    told.sort(key=lambda one: (order.index(one["service"]) if one["service"] in order else 99, one["slot"]))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as session:
        return [await _ask(session, one, clock or SystemClock()) for one in told]


async def lag(bootstrap_servers: str) -> dict[str, int]:
    """Records each service is behind, by the broker."""
    groups = {f"penstock.{service}": topics for service, topics in inputs().items()}
    behind = await LagReader(bootstrap_servers).of(groups)
    return {
        group.removeprefix("penstock."): sum(one.records for one in partitions.values())
        for group, partitions in behind.items()
    }


async def drained(bootstrap_servers: str) -> bool:
    """Whether every stage, in flow order, has committed all that its inputs hold."""
    reader = LagReader(bootstrap_servers)
    for service, topics in inputs().items():
        group = f"penstock.{service}"
        if not await reader.drained((await reader.of({group: topics}))[group]):
            return False
    return True


async def _ask(session: aiohttp.ClientSession, told: Mapping[str, object], clock: Clock) -> Instance:
    pid, http = int(str(told["pid"])), str(told["http"])
    counts: dict[str, float] = {}
    if not _alive(pid):
        state = "gone"
    else:
        try:
            async with session.get(f"{http}/readyz") as answer:
                state = "ready" if answer.status == 200 else "starting"
            async with session.get(f"{http}/metrics") as answer:
                counts = _counts(await answer.text())
        except (aiohttp.ClientError, TimeoutError):
            state = "unanswering"
    api = told.get("api")
    return Instance(
        service=str(told["service"]),
        slot=int(str(told["slot"])),
        pid=pid,
        state=state,
        api=str(api) if api else None,
        counts=counts,
        counted_s=clock.monotonic_s(),
    )


def _counts(page: str) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(page)
        if family.name == metrics.RECORDS.name
        for sample in family.samples
        if sample.name == f"{metrics.RECORDS.name}_total"
    }


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
