"""The parts that services stand on, and how they are killed and come back."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient

from penstock.cli.endpoints import of_stack
from penstock.cli.overview import inputs
from penstock.errors import TransientError
from penstock.local.process import Running, wait_gone
from penstock.local.state import State, StateFile, kafka_parts
from penstock.stream.lag import Behind, LagReader
from penstock.stream.port import TopicPartition as Place
from tests.integration.sink.proxy import Proxy

_IN_SYNC_WITHIN_S = 90.0
CAUGHT_UP_WITHIN_S = 120.0
_LEADS = re.compile(r"\[QuorumController id=\d+\] Becoming the active controller at epoch (\d+)")
BUCKET = "chaos"


class ChaosStack:
    """An embedded stack of its own, with an S3 endpoint whose connections can be cut."""

    def __init__(self, data: Path, nodes: int) -> None:
        self.data = data
        self.nodes = nodes
        self._file = StateFile(data)
        self._objects: asyncio.subprocess.Process | None = None
        self._wire: Proxy | None = None

    async def up(self) -> None:
        await self._penstock("up", *(["--nodes", str(self.nodes)] if self.nodes > 1 else []))
        self._objects = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.objects", BUCKET,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._objects.stdout is not None
        self._wire = Proxy("127.0.0.1", int(await self._objects.stdout.readline()))
        await self._wire.open()

    async def down(self) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._objects is not None:
            self._objects.kill()
            await self._objects.wait()
        await self._penstock("down", "--volumes")

    @property
    def state(self) -> State:
        state = self._file.read()
        assert state is not None, f"no stack in {self.data}"
        return state

    def environment(self) -> dict[str, str]:
        assert self._wire is not None, "the object store is not up"
        return {
            **of_stack(self.state, self.data).environment(),
            "PENSTOCK_OBJECT_STORE_URL": f"s3://{BUCKET}/lake",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._wire.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    async def restart(self, part: str, away_s: float) -> None:
        """Kills it, has it back after a while, and waits until it answers; after a broker, until all is in sync."""
        running = self.state.running[part]
        os.kill(running.pid, signal.SIGKILL)
        await asyncio.to_thread(_gone, running)
        await asyncio.sleep(away_s)
        await self._penstock("up")
        if part in kafka_parts(self.nodes):
            await asyncio.to_thread(self._until_in_sync)

    async def caught_up(self, service: str, within_s: float = CAUGHT_UP_WITHIN_S) -> None:
        """Waits until a stage's group stands where its inputs end now: it works again, and has made up for the time."""
        group, topics = f"penstock.{service}", inputs()[service]
        wanted: dict[Place, int] = {}
        deadline_s = time.monotonic() + within_s
        # The last offset may be a transaction's marker, which no position need be past; producers outside have none.
        markers = 0 if service == "ingest" else 1
        while True:
            behind = await self._behind(group, topics)
            wanted = wanted or {at: one.end for at, one in behind.items()}
            if behind and all((behind[at].committed or 0) >= end - markers for at, end in wanted.items()):
                return
            assert time.monotonic() < deadline_s, f"{group} stands at {behind}, {wanted} was its inputs' end"
            await asyncio.sleep(0.2)

    async def _behind(self, group: str, topics: Sequence[str]) -> Mapping[Place, Behind]:
        """Nothing while the brokers do not answer."""
        try:
            return (await LagReader(self.state.bootstrap_servers).of({group: topics}))[group]
        except TransientError:
            return {}

    def controller(self) -> str:
        """The broker that leads the quorum, by its own log."""
        epochs: dict[str, int] = {}
        for part in kafka_parts(self.nodes):
            told = _LEADS.findall((self.data / "logs" / f"{part}.log").read_text(errors="replace"))
            epochs[part] = max(map(int, told), default=-1)
        return max(epochs, key=lambda part: epochs[part])

    async def cut_objects(self, away_s: float) -> None:
        """Everything on its way is cut off, nobody gets in for a while; what was stored stays, as after a restart."""
        assert self._wire is not None, "the object store is not up"
        await self._wire.close()
        await asyncio.sleep(away_s)
        await self._wire.open()

    async def ledger(self, manifests: list[Path], timeout_s: float) -> dict[str, object]:
        expected = [word for manifest in manifests for word in ("--expect", str(manifest))]
        told = await self._penstock("ledger", "--json", "--timeout", f"{timeout_s:.0f}s", *expected, codes=(0, 1))
        found: dict[str, object] = json.loads(told)
        return found

    def _until_in_sync(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.state.bootstrap_servers, "log_level": 0})
        deadline_s = time.monotonic() + _IN_SYNC_WITHIN_S
        while True:
            topics = admin.list_topics(timeout=30).topics.values()
            behind = {
                f"{topic.topic}[{one.id}]"
                for topic in topics
                for one in topic.partitions.values()
                if len(one.isrs) < len(one.replicas)
            }
            if not behind:
                return
            assert time.monotonic() < deadline_s, f"not in sync after {_IN_SYNC_WITHIN_S:.0f} s: {sorted(behind)}"
            time.sleep(0.1)

    async def _penstock(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        environment = self.environment() if words[0] == "ledger" else {}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock.cli", "--data", str(self.data), *words,
            env={**os.environ, **environment, "PENSTOCK_PARTITIONS": "3"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode in codes, f"penstock {words[0]} ended with {process.returncode}:\n{err.decode()}"
        return out.decode()


def _gone(running: Running) -> None:
    assert wait_gone(running, 10.0), f"process {running.pid} survived kill -9"
