"""An ingest process beside the stack, and a reader of what it wrote."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import orjson
import psutil
from confluent_kafka import Consumer, Message, TopicPartition

from tests.conftest import RunningStack

ROOT = Path(__file__).resolve().parents[3]
WITHIN_S = 60.0
_slots = count(100)


def environment(stack: RunningStack, **more: str) -> dict[str, str]:
    """Without the variables of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return kept | {
        "PENSTOCK_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "PENSTOCK_SCHEMA_REGISTRY_URL": stack.schema_registry_url,
        "PENSTOCK_FINGERPRINT_KEY": stack.fingerprint_key,
        **more,
    }


@dataclass
class IngestProcess:
    process: asyncio.subprocess.Process
    log: Path
    endpoints: Path
    api: str = ""
    http: str = ""

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), WITHIN_S)

    def told(self) -> str:
        return self.log.read_text()


@asynccontextmanager
async def ingest(stack: RunningStack, folder: Path, **settings: str) -> AsyncIterator[IngestProcess]:
    """A running ingest whose POST door is open; ended at the end. Each has a slot of its own unless it is told one."""
    variables = {
        "PENSTOCK_INGEST_PORT": "0",
        "PENSTOCK_DATA": str(folder),
        "PENSTOCK_SLOT": str(next(_slots)),
        **settings,
    }
    log = folder / "ingest.log"
    endpoints = folder / "run" / f"ingest.{variables['PENSTOCK_SLOT']}.json"
    endpoints.unlink(missing_ok=True)  # of one that was killed
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.ingest"),
            cwd=ROOT,
            env=environment(stack, **variables),
            stderr=out,
            stdout=out,
        )
    endpoints.unlink(missing_ok=True)  # of one that was killed
    at = IngestProcess(process, log, endpoints)
    try:
        await until(lambda: at.endpoints.exists() or process.returncode is not None)
        assert process.returncode is None, at.told()
        content = orjson.loads(at.endpoints.read_bytes())
        at.api, at.http = content["api"], content["http"]
        yield at
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  a file or a process is no asyncio.Event
            await asyncio.sleep(0.05)


class Topic:
    """What is written to a topic from now on, read_committed."""

    def __init__(self, stack: RunningStack, name: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": stack.bootstrap_servers,
                "group.id": "reads-without-a-group",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        partitions = self._consumer.list_topics(name, timeout=10).topics[name].partitions
        starts = []
        for partition in partitions:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            starts.append(TopicPartition(name, partition, end))
        self._consumer.assign(starts)
        self.messages: list[Message] = []

    def of(self, source: str) -> list[Message]:
        return [
            message for message in self.messages if (dict(message.headers() or [])).get("source") == source.encode()
        ]

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{len(self.messages)} records came, and that is not enough"
            self._take(0.2)

    def read_rest(self) -> None:
        """Until nothing comes for a while: to see that there is no more."""
        while self._take(2.0):
            pass

    def _take(self, timeout_s: float) -> int:
        found = self._consumer.consume(500, timeout_s)
        for message in found:
            assert message.error() is None, message.error()
        self.messages += found
        return len(found)

    def close(self) -> None:
        self._consumer.close()


def _is_stopped(process: psutil.Process) -> bool:
    return all(psutil.Process(thread.id).status() == psutil.STATUS_STOPPED for thread in process.threads())


@asynccontextmanager
async def frozen(pid: int) -> AsyncIterator[None]:
    """A process that neither answers nor closes its connections meanwhile."""
    process = psutil.Process(pid)
    process.suspend()
    try:
        # On a busy machine its threads go on until each has had its turn to see the signal.
        async with asyncio.timeout(WITHIN_S):
            while not _is_stopped(process):  # noqa: ASYNC110  the kernel wakes nobody for it
                await asyncio.sleep(0.01)
        yield
    finally:
        process.resume()


def watching(stack: RunningStack, name: str) -> Iterator[Topic]:
    topic = Topic(stack, name)
    yield topic
    topic.close()
