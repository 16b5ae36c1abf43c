"""A producer and a reader of the running services in one process, so that both go by one clock."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson

from loadtests.open_loop import Latencies, due_times, latencies
from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Skipped

_SAMPLES = Path(__file__).parents[1] / "samples"
_SILENCE_S = 60.0
"""So long without an event that is still missing, and it will not come."""
_AT_ONCE = 8


class Live:
    """
    Args:
        ingest: where POST /events is served.
        gateway: where /ws is.
    """

    def __init__(self, http: aiohttp.ClientSession, ingest: str, gateway: str) -> None:
        self._http = http
        self._ingest, self._gateway = ingest, gateway
        self._recorded = itertools.cycle(_recorded())
        self._numbers = itertools.count()
        self._run = time.time_ns()
        self._seen_s: dict[str, float] = {}
        self._missing: set[str] = set()
        self._arrived = asyncio.Event()
        self._dropped = 0
        self.subscribed = asyncio.Event()

    async def read(self) -> None:
        """Notes when each event comes, until it is cancelled."""
        async with self._http.ws_connect(f"{self._gateway}/ws", max_msg_size=0) as socket:
            await socket.send_json({"type": "subscribe", "filter": {}, "cursor": None})
            async for message in socket:
                now_s = time.monotonic()
                told = orjson.loads(message.data)
                match told["type"]:
                    case "event":
                        name = told["event"]["id"]
                        self._seen_s[name] = now_s
                        self._missing.discard(name)
                        self._arrived.set()
                    case "dropped":
                        self._dropped += told["count"]
                        self._arrived.set()
                    case "cursor":
                        self.subscribed.set()
                    case _:
                        raise AssertionError(told)
        raise AssertionError("the gateway closed the socket")

    async def offer(self, per_s: float, seconds: float, per_request: int) -> Latencies:
        """Open loop: each request goes out when it is due, however many have not been answered."""
        due_s: dict[str, float] = {}
        dropped_before, posts = self._dropped, set[asyncio.Task[None]]()
        requests = max(1, round(per_s * seconds / per_request))
        for at_s in due_times(time.monotonic(), per_s / per_request, requests):
            names, body = self._body(per_request)
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
            due_s.update(dict.fromkeys(names, at_s))
            posts.add(asyncio.create_task(self._post(body)))
        await asyncio.gather(*posts)
        await self._until_seen(dropped_before)
        return latencies(due_s, self._seen_s, time.monotonic())

    async def saturate(self, events: int, per_request: int) -> float:
        """Closed loop, a few posts at once: how many events a second come through, up to the last one seen."""
        bodies = (self._body(per_request) for _ in range(events // per_request))
        sent: list[str] = []
        dropped_before, started_s = self._dropped, time.monotonic()

        async def post() -> None:
            for names, body in bodies:
                sent.extend(names)
                await self._post(body)

        await asyncio.gather(*(post() for _ in range(_AT_ONCE)))
        await self._until_seen(dropped_before)
        return len(sent) / (max(self._seen_s.get(name, started_s) for name in sent) - started_s)

    async def _until_seen(self, dropped_before: int) -> None:
        """Until all have come or were told to be dropped; gives up on what is missing after a silence."""
        while len(self._missing) > self._dropped - dropped_before:
            self._arrived.clear()
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._arrived.wait()
            except TimeoutError:
                break
        self._missing.clear()

    def _body(self, count: int) -> tuple[list[str], bytes]:
        """NDJSON, and the ids that its events have behind the gateway."""
        names, lines = [], []
        for fields in itertools.islice(self._recorded, count):
            name = f"{fields['source']}:{self._run}-{next(self._numbers)}"
            names.append(name)
            lines.append(orjson.dumps({**fields, "id": name}))
        self._missing.update(names)
        return names, b"\n".join(lines)

    async def _post(self, body: bytes) -> None:
        async with self._http.post(f"{self._ingest}/events", data=body) as answer:
            assert answer.status == 202, await answer.text()


def _recorded() -> list[dict[str, object]]:
    """The GitHub and Wikipedia events of samples/, as POST takes them."""
    return [fields for source in ("github", "wikipedia") for fields in _parsed(source)]


def _parsed(source: str) -> Iterator[dict[str, object]]:
    for path in find_files([str(_SAMPLES / source)]):
        parser = PARSERS[source](path)
        for line in Lines(path):
            found = parser.parse(line) if line else []
            if not isinstance(found, Skipped):
                yield from found
