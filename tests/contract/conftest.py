"""Runs every row three times: `[memory]` on simulated time, `[kafka]` against the embedded stack, and `[three]` against
one of three brokers, every topic on all of them."""

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
    "three": asyncio.new_event_loop,
}
_STACKS = {"kafka": ("stack", 1), "three": ("stack_of_three", 3)}
"""The fixture that a row needs, and how many replicas its topics have."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return _LOOPS


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and not _STACKS.keys().isdisjoint(item.keywords):
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def real(request: pytest.FixtureRequest) -> tuple[str, int] | None:
    """The real brokers' addresses and how many replicas a topic has, on the rows that need them."""
    for row, (stack, replicas) in _STACKS.items():
        if row in request.node.keywords:
            return str(request.getfixturevalue(stack).bootstrap_servers), replicas
    return None


@pytest.fixture
async def bench(real: tuple[str, int] | None) -> AsyncIterator[Bench]:
    if real is None:
        memory = MemoryBench()
        yield memory
        await memory.close()
        return
    from tests.contract.kafka_bench import KafkaBench

    kafka = KafkaBench(*real)
    yield kafka
    await kafka.close()
