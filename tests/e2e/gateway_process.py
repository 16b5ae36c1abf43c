"""The gateway as the process it is, for tests: started, killed, and started again at the same port."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import RunningStack

_WITHIN_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GatewayProcess:
    """`data` gets the endpoints file and the log."""

    def __init__(self, stack: RunningStack, data: Path, topic: str, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = data
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "PENSTOCK_SCHEMA_REGISTRY_URL": stack.schema_registry_url,
            "PENSTOCK_POSTGRES_DSN": stack.postgres_dsn,
            "PENSTOCK_OBJECT_STORE_URL": stack.object_store_url,
            "PENSTOCK_DATA": str(data),
            "PENSTOCK_GATEWAY_PORT": str(self.port),
            "PENSTOCK_GATEWAY_TOPIC": topic,
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it is ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "gateway.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.gateway", env=self._environment, stdout=log, stderr=log
            )
        async with asyncio.timeout(_WITHIN_S):
            while not await self._ready():
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        async with asyncio.timeout(_WITHIN_S):
            return await self._process.wait()

    @property
    def log(self) -> str:
        return (self.data / "gateway.log").read_text()

    @property
    def endpoints(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.data / "run" / "gateway.0.json").read_text())
        return found

    async def _ready(self) -> bool:
        """Asks by hand: a client library per question would be slower than the answer."""
        try:
            if self._process is None or self.endpoints["pid"] != self._process.pid:
                return False  # left over from the one before: its port may be somebody else's by now
            host, port = str(self.endpoints["http"]).removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
        except (OSError, ValueError):
            return False
        return answer.startswith(b"HTTP/1.1 200")


@asynccontextmanager
async def gateway(
    stack: RunningStack,
    data: Path,
    topic: str,
    *,
    postgres_dsn: str = "",
    object_store_url: str = "",
    **settings: str,
) -> AsyncIterator[GatewayProcess]:
    """A running gateway; `settings` are PENSTOCK_GATEWAY_* without the prefix, in lower case."""
    environment = {f"PENSTOCK_GATEWAY_{name.upper()}": value for name, value in settings.items()}
    if postgres_dsn:
        environment["PENSTOCK_POSTGRES_DSN"] = postgres_dsn
    if object_store_url:
        environment["PENSTOCK_OBJECT_STORE_URL"] = object_store_url
    process = GatewayProcess(stack, data, topic, environment)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
