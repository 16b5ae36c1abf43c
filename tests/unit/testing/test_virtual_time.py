"""Simulated time passes only when everyone waits."""

import asyncio
import time

import pytest

from penstock.testing import run_in_virtual_time
from penstock.testing.virtual_time import StandstillError


def test_an_hour_of_sleep_takes_no_time() -> None:
    async def sleep() -> float:
        started_s = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - started_s

    real_s = time.monotonic()
    assert run_in_virtual_time(sleep()) == pytest.approx(3600)
    assert time.monotonic() - real_s < 10


def test_timers_go_off_in_the_order_of_their_times() -> None:
    order: list[str] = []

    async def wait(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        order.append(name)

    async def main() -> None:
        await asyncio.gather(wait("late", 3.0), wait("early", 1.0), wait("middle", 2.0))

    run_in_virtual_time(main())
    assert order == ["early", "middle", "late"]


def test_a_time_out_goes_by_simulated_time() -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(6)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StandstillError):
        run_in_virtual_time(main())
