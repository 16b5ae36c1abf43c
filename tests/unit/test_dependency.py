"""What a process needs outside Kafka: left alone while it is away, and told about."""

import asyncio
from contextlib import suppress

import pytest
from prometheus_client import generate_latest
from tenacity import AsyncRetrying, stop_after_attempt

from penstock import metrics
from penstock.breaker import BreakerSettings
from penstock.dependency import Dependency
from penstock.errors import DataError, PermanentError, ThrottledError, TransientError
from penstock.metrics import Metrics


class Clock:
    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        settings = BreakerSettings(failures=2, open_s=1.0)
        self.postgres = Dependency("sink", "postgres", settings, self.clock, self.metrics)
        self.asked = 0

    async def ask(self, error: BaseException | None = None) -> None:
        async with self.postgres.attempt():
            self.asked += 1
            if error is not None:
                raise error

    def retries(self) -> dict[str, float]:
        """By cause."""
        counted = self.metrics.counter(metrics.RETRIES).collect()
        return {
            sample.labels["cause"]: sample.value
            for family in counted
            for sample in family.samples
            if sample.name == "penstock_retries_total"
            and (sample.labels["stage"], sample.labels["dependency"]) == ("sink", "postgres")
        }

    def circuit(self) -> float | None:
        return self.metrics.registry.get_sample_value("penstock_circuit", {"stage": "sink", "dependency": "postgres"})


async def open_circuit() -> Bench:
    bench = Bench()
    with pytest.raises(TransientError):
        await bench.ask(TransientError("connection refused"))
    with pytest.raises(ThrottledError, match="connection refused") as caught:
        await bench.ask(TransientError("connection refused"))
    assert caught.value.retry_after_s == 1.0
    return bench


async def test_while_it_is_away_nobody_asks_and_everybody_is_told_when_to_come_back() -> None:
    bench = await open_circuit()
    bench.clock.now_s = 0.6
    with pytest.raises(ThrottledError, match=r"postgres is left alone for 0\.4 s: connection refused") as caught:
        await bench.ask()
    assert caught.value.retry_after_s == pytest.approx(0.4)
    assert bench.asked == 2


async def test_its_state_is_told_with_the_reason() -> None:
    bench = Bench()
    assert (bench.postgres.trouble, bench.circuit()) == (None, 0)
    bench = await open_circuit()
    assert bench.postgres.trouble == "postgres is away: connection refused"
    assert bench.circuit() == 2
    bench.clock.now_s = 1.0
    assert bench.circuit() == 1
    assert bench.postgres.trouble == "postgres is away: connection refused"
    await bench.ask()
    assert str(bench.postgres.trouble) == "None"
    assert bench.circuit() == 0
    assert b'penstock_circuit{dependency="postgres",stage="sink"} 0.0' in generate_latest(bench.metrics.registry)


async def test_half_open_lets_one_of_many_through() -> None:
    bench = await open_circuit()
    bench.clock.now_s = 1.0
    answer = asyncio.Event()

    async def slow() -> None:
        async with bench.postgres.attempt():
            bench.asked += 1
            await answer.wait()

    first = asyncio.create_task(slow())
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(ThrottledError):
            await bench.ask()
    assert bench.asked == 3
    answer.set()
    await first
    await bench.ask()


@pytest.mark.parametrize("error", [DataError("bad", "x"), PermanentError("x"), ValueError("x")])
async def test_a_refusal_is_an_answer(error: Exception) -> None:
    bench = await open_circuit()
    bench.clock.now_s = 1.0
    with pytest.raises(type(error)):
        await bench.ask(error)
    assert bench.circuit() == 0


async def test_an_attempt_that_was_broken_off_says_nothing_and_makes_room_for_another() -> None:
    bench = Bench()
    for _ in range(3):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001), bench.postgres.attempt():
                await asyncio.Event().wait()
    assert bench.circuit() == 0
    bench = await open_circuit()
    bench.clock.now_s = 1.0
    with suppress(TimeoutError):
        async with asyncio.timeout(0.001), bench.postgres.attempt():
            await asyncio.Event().wait()
    assert bench.circuit() == 1
    await bench.ask()
    assert bench.circuit() == 0


async def test_each_attempt_after_one_that_failed_is_counted_as_a_retry_by_why_that_failed() -> None:
    bench = Bench()
    with suppress(TransientError):
        await bench.ask(TransientError("503", cause="503"))
    assert bench.retries() == {}, "nothing was tried again yet"
    with suppress(TransientError):
        await bench.ask(ConnectionRefusedError("no"))
    assert bench.retries() == {"503": 1}
    with suppress(ThrottledError):
        await bench.ask()
    assert bench.retries() == {"503": 1}, "left alone, it was not asked"
    bench.clock.now_s = 1.0
    await bench.ask()
    await bench.ask()
    assert bench.retries() == {"503": 1, "ConnectionRefusedError": 1}
    assert b'penstock_retries_total{cause="503",dependency="postgres",stage="sink"} 1.0' in generate_latest(
        bench.metrics.registry
    )


async def test_retries_inside_one_attempt_are_counted_too() -> None:
    bench = Bench()
    left = [TimeoutError("late"), ConnectionResetError("gone")]

    async def ask() -> str:
        if left:
            raise TransientError("it is away") from left.pop()
        return "here"

    async with bench.postgres.attempt() as before_sleep:
        assert await AsyncRetrying(stop=stop_after_attempt(3), before_sleep=before_sleep)(ask) == "here"
    assert bench.retries() == {"TimeoutError": 1, "ConnectionResetError": 1}
