"""Dedup as a process that tells what it holds: what `python -m loadtests.scaling` starts more and less of."""

import asyncio
import sys
import time
from collections.abc import Collection

from loadtests import telling
from penstock.clock import SystemClock
from penstock.metrics import Metrics
from penstock.schema import files
from penstock.schema.codec import Codec
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.port import TopicPartition
from penstock.stream.settings import LoopSettings
from services.dedup.handler import Dedup, Topics
from services.dedup.state import SeenState, WindowSettings


class _Meter(Meter):
    """Tells what it holds, whenever that changes; the clock is the machine's, the same in every process."""

    _told: tuple[list[int], bool] | None = None

    def holds(self, partitions: Collection[TopicPartition], *, ready: bool) -> None:
        super().holds(partitions, ready=ready)
        now = sorted(tp.partition for tp in partitions), ready
        if now != self._told:
            self._told = now
            telling.tell(at_s=time.monotonic(), held=now[0], ready=ready)


def _dedup(servers: str, name: str, slot: str) -> Loop:
    clock = SystemClock()
    broker = KafkaBroker(ClientSettings(servers, name, (f"{name}.in",), f"{name}.{slot}"))
    state = SeenState(f"{name}.seen", WindowSettings(86_400_000, 300_000, 1), clock)
    codec = Codec(1, files.latest("duplicate"))
    handler = Dedup(state, codec.encode, Topics(f"{name}.out", f"{name}.duplicates", f"{name}.late"))
    letters = DeadLetters(name, lambda _: b"", {}, clock)
    return Loop(broker, handler, letters, LoopSettings(name), clock, _Meter(name, Metrics(), clock), state)


async def _run(servers: str, name: str, slot: str) -> None:
    await telling.run(_dedup(servers, name, slot))


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
