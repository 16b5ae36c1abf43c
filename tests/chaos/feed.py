"""Steady input at all three doors: replays of a recording, POST /events, events.inbox, and bad records among them."""

import asyncio
import gzip
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import aiohttp
import orjson
from confluent_kafka import Producer

from penstock.stream.kafka_config import producer as producer_config
from services.ingest.replay.command import ENVIRONMENT
from services.ingest.replay.files import PARSERS
from services.ingest.replay.parser import Skipped
from tests.e2e.inbox import Outsider
from tests.e2e.recording import SAMPLES, lines_of

GITHUB = "github/2015-01-01-0.json.gz"
DUPLICATE = 0.15
LINES_A_ROUND = 1500
POSTED_AT_ONCE = 10


class Replays:
    """Rounds of one recorded hour; from the second time through on, every event gets an id of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], rate_per_s: float) -> None:
        self._folder = folder
        self._environment = environment
        self._rate_per_s = rate_per_s
        self._lines = lines_of(SAMPLES / GITHUB)
        self.manifests: list[Path] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Round after round, the last one to its end."""
        while not stop.is_set():
            number = len(self.manifests)
            file = self._folder / f"round-{number}.json.gz"
            await asyncio.to_thread(self._write_round, file, number)
            self.manifests.append(self._folder / f"round-{number}.manifest.json")
            await self._replay(file, self.manifests[-1], number)

    def _write_round(self, file: Path, number: int) -> None:
        first = number * LINES_A_ROUND
        chosen = [
            (at // len(self._lines), self._lines[at % len(self._lines)]) for at in range(first, first + LINES_A_ROUND)
        ]
        lines = (
            line if turn == 0 else re.sub(rb'^\{"id":"(\d+)"', rb'{"id":"\g<1>%03d"' % turn, line, count=1)
            for turn, line in chosen
        )
        file.write_bytes(gzip.compress(b"".join(lines)))

    async def _replay(self, file: Path, manifest: Path, seed: int) -> None:
        """Until it went through; it says so and has sent nothing where the registry is away just then."""
        while True:
            code, told = await self._try(file, manifest, seed)
            if code == 0:
                return
            assert code == ENVIRONMENT, told
            assert not _written(manifest), f"it stopped on its way:\n{told}"
            await asyncio.sleep(0.5)

    async def _try(self, file: Path, manifest: Path, seed: int) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", "replay", str(file), "--source", "github",
            "--rate", f"{self._rate_per_s}/s", "--duplicate", str(DUPLICATE), "--seed", str(seed),
            "--manifest", str(manifest),
            env={**os.environ, **self._environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, told.decode(errors="replace")


def _written(manifest: Path) -> bool:
    return manifest.exists()


class Posts:
    """A producer outside that repeats a request until it is accepted, as the promise of POST /events allows."""

    def __init__(self, endpoint: Callable[[], str | None]) -> None:
        self._endpoint = endpoint
        self.accepted = 0
        self.repeated = 0

    async def run(self, stop: asyncio.Event, pause_s: float) -> None:
        events = _posted()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            while not stop.is_set():
                batch = [fields for fields, _ in zip(events, range(POSTED_AT_ONCE), strict=False)]
                body = b"\n".join(orjson.dumps(fields) for fields in batch)
                while not await self._post(http, body):
                    self.repeated += 1
                    await asyncio.sleep(0.2)
                self.accepted += len(batch)
                await asyncio.sleep(pause_s)

    async def _post(self, http: aiohttp.ClientSession, body: bytes) -> bool:
        if (at := self._endpoint()) is None:
            return False
        try:
            async with http.post(f"{at}/events", data=body) as answer:
                # 404: it is dead, and another service has got its port.
                assert answer.status in (202, 404, 429, 503), await answer.text()
                return answer.status == 202
        except (aiohttp.ClientError, TimeoutError):
            return False


def _posted() -> Iterator[dict[str, object]]:
    """Recorded edits without end, each with an id that is its own."""
    (file,) = (SAMPLES / "wikipedia").glob("*.gz")
    number = 0
    while True:
        parser = PARSERS["wikipedia"](file)
        for line in lines_of(file):
            found = parser.parse(line.rstrip(b"\r\n"))
            for fields in () if isinstance(found, Skipped) else found:
                number += 1
                yield {**fields, "id": f"posted-{number}"}


class Strangers:
    """Events by events.inbox with non-events among them, and bodies that nobody can read, past ingest."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        servers = environment["PENSTOCK_BOOTSTRAP_SERVERS"]
        registry = environment["PENSTOCK_SCHEMA_REGISTRY_URL"]
        self.outsider = Outsider(servers, registry, "weather", SAMPLES / "weather" / "weather.csv.gz")
        self._producer = Producer({**producer_config(servers, "stranger"), "log_level": 0})
        self.garbled = 0

    async def run(self, stop: asyncio.Event) -> None:
        due_s = time.monotonic()
        while not stop.is_set():
            await asyncio.to_thread(self._feed)
            due_s = max(due_s + 1.0, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _feed(self) -> None:
        self.outsider.feed(5)
        self.garbled += 1
        self._producer.produce(
            "events.raw",
            b"garbled in the middle",
            os.urandom(16),
            headers=[("uid", os.urandom(16)), ("source", b"stranger")],
        )
        assert self._producer.flush(120) == 0
