"""Steady input at all three doors: replays of a recording, POST /events, events.inbox, and bad records among them."""

import asyncio
import gzip
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp
import orjson
from confluent_kafka import KafkaError, Producer

from penstock.stream.kafka_config import producer as producer_config
from services.ingest.replay.command import ENVIRONMENT
from services.ingest.replay.files import PARSERS
from services.ingest.replay.parser import Skipped
from tests.chaos.doors import Door, Doors
from tests.e2e.inbox import Outsider
from tests.e2e.offered import Offered
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
    """A producer outside that repeats a request until it is accepted, as the promise of POST /events allows.

    `offered` has its events by their ids. A request is repeated until it is accepted, so every event of it is in at
    least once, and once more at most for every 503 and every answer that never came.
    """

    SOURCE = "wikipedia"

    def __init__(self, endpoint: Callable[[], str | None]) -> None:
        self._endpoint = endpoint
        self.offered = Offered()

    async def run(self, stop: asyncio.Event, pause_s: float) -> None:
        events = _posted()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            while not stop.is_set():
                batch = [fields for fields, _ in zip(events, range(POSTED_AT_ONCE), strict=False)]
                body = b"\n".join(orjson.dumps(fields) for fields in batch)
                ids = [f"{self.SOURCE}:{fields['id']}".encode() for fields in batch]
                await self._until_accepted(http, body, ids)
                await asyncio.sleep(pause_s)

    async def _until_accepted(self, http: aiohttp.ClientSession, body: bytes, ids: Sequence[bytes]) -> None:
        while True:
            if await self._post(http, body, ids):
                return
            await asyncio.sleep(0.2)

    async def _post(self, http: aiohttp.ClientSession, body: bytes, ids: Sequence[bytes]) -> bool:
        if (at := self._endpoint()) is None:
            return False
        try:
            async with http.post(f"{at}/events", data=body) as answer:
                # 404: it is dead, and another service has got its port.
                assert answer.status in (202, 404, 429, 503), await answer.text()
        except aiohttp.ClientConnectorError:
            return False
        except (aiohttp.ClientError, TimeoutError):
            self.offered.hand_in(*ids)
            return False
        # 429 and 404 took nothing; 503 says that some of it may be in.
        if answer.status in (202, 503):
            self.offered.hand_in(*ids)
        if answer.status == 202:
            self.offered.acknowledge(*ids)
        return answer.status == 202


def _posted() -> Iterator[dict[str, object]]:
    """Recorded edits without end, each with an id that is its own."""
    (file,) = (SAMPLES / Posts.SOURCE).glob("*.gz")
    number = 0
    while True:
        parser = PARSERS[Posts.SOURCE](file)
        for line in lines_of(file):
            found = parser.parse(line.rstrip(b"\r\n"))
            for fields in () if isinstance(found, Skipped) else found:
                number += 1
                yield {**fields, "id": f"posted-{number}"}


class Strangers:
    """Events by events.inbox with non-events among them, and bodies that nobody can read, past ingest.

    `garbled` has those by their uids.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        servers = environment["PENSTOCK_BOOTSTRAP_SERVERS"]
        registry = environment["PENSTOCK_SCHEMA_REGISTRY_URL"]
        self.outsider = Outsider(servers, registry, "weather", SAMPLES / "weather" / "weather.csv.gz")
        self._producer = Producer({**producer_config(servers, "stranger"), "log_level": 0})
        self.garbled = Offered()

    async def run(self, stop: asyncio.Event) -> None:
        due_s = time.monotonic()
        while not stop.is_set():
            await asyncio.to_thread(self._feed)
            due_s = max(due_s + 1.0, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _feed(self) -> None:
        self.outsider.feed(5)
        uid = os.urandom(16)

        def told(error: KafkaError | None, _: object) -> None:
            if error is None:
                self.garbled.acknowledge(uid)

        self.garbled.hand_in(uid)
        self._producer.produce(
            "events.raw",
            b"garbled in the middle",
            os.urandom(16),
            headers=[("uid", uid), ("source", b"stranger")],
            on_delivery=told,
        )
        assert self._producer.flush(120) == 0


class Feed:
    """All doors at once."""

    def __init__(self, replays: Replays, posts: Posts, strangers: Strangers) -> None:
        self.replays = replays
        self._posts = posts
        self._strangers = strangers

    def run(self, stop: asyncio.Event) -> list["asyncio.Task[None]"]:
        """A task for each; they end soon after `stop` is set."""
        return [
            asyncio.create_task(self.replays.run(stop)),
            asyncio.create_task(self._posts.run(stop, pause_s=2.0)),
            asyncio.create_task(self._strangers.run(stop)),
        ]

    @property
    def doors(self) -> Doors:
        """What came by those that write no manifest; complete once all tasks have ended."""
        outsider = self._strangers.outsider
        return Doors(
            (
                Door("POST /events", Posts.SOURCE, self._posts.offered),
                Door("events.inbox", outsider.source, outsider.fed),
            ),
            outsider.refusals,
            self._strangers.garbled,
        )
