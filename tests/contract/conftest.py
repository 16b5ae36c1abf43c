"""Runs every row twice: `[memory]` on simulated time, `[kafka]` against the embedded stack."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from penstock.testing import VirtualTimeLoop
from tests.contract.bench import Bench
from tests.contract.memory_bench import MemoryBench

_HERE = Path(__file__).parent
_LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "memory": VirtualTimeLoop,
    "kafka": asyncio.new_event_loop,
}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return _LOOPS


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and "kafka" in item.keywords:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> str | None:
    """The real broker's address, on the rows that need one."""
    if "kafka" not in request.node.keywords:
        return None
    return str(request.getfixturevalue("stack").bootstrap_servers)


@pytest.fixture
async def bench(servers: str | None) -> AsyncIterator[Bench]:
    if servers is None:
        memory = MemoryBench()
        yield memory
        await memory.close()
        return
    from tests.contract.kafka_bench import KafkaBench

    kafka = KafkaBench(servers)
    yield kafka
    await kafka.close()
