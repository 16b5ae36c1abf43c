"""Looks at every service once a second, so that health and figures are at hand when somebody asks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp

from penstock.clock import Clock
from services.gateway.health import Condition, Health, judge
from services.gateway.rates import STAGES, WRITTEN, Rates
from services.gateway.scrape import Answer, Figures, Instance, parse_figures
from services.gateway.series import SERIES_S, Series

LOOK_EVERY_S = 1.0
_TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_AT_ONCE = 32
_INTAKE = Instance("events.raw", 0, "")
"""Stands for the topic among the processes that are looked at."""

Probe = Callable[[], Awaitable[None]]
"""Asks a part whether it answers; raises what went wrong."""


class Watch:
    """
    Args:
        endpoints: all instances known now; asked at every look.
        expected: services that ought to run: one without a process is an error.
        parts: name to probe of what the gateway itself depends on.
        written: records ever written to events.raw, by ingest and by replays, which are no service; None: not known.
    """

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Instance]],
        expected: Sequence[str],
        parts: Mapping[str, Probe],
        written: Callable[[], int | None],
        clock: Clock,
    ) -> None:
        self.rates = Rates()
        self.series = Series(int(SERIES_S / LOOK_EVERY_S))
        self.health: list[Health] = []
        self._endpoints = endpoints
        self._expected = expected
        self.parts = parts
        self._written = written
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        limits = aiohttp.TCPConnector(limit=_AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=limits, timeout=timeout) as http:
            while not stop.is_set():
                due_s = self._clock.monotonic_s() + LOOK_EVERY_S
                await self.look(http)
                try:
                    async with asyncio.timeout(max(0.0, due_s - self._clock.monotonic_s())):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def look(self, http: aiohttp.ClientSession) -> None:
        instances = self._endpoints()
        answers, parts = await asyncio.gather(
            asyncio.gather(*(ask(http, instance) for instance in instances)),
            asyncio.gather(*(_probe(name, probe) for name, probe in self.parts.items())),
        )
        looks = list(zip(instances, answers, strict=True))
        figures = [(instance, answer.figures) for instance, answer in looks if answer.answered]
        if (written := self._written()) is not None:
            figures.append((_INTAKE, Figures({WRITTEN: float(written)})))
        self.rates.add(self._clock.monotonic_s(), figures)
        if self.rates.known:
            self.series.add(self._clock.now_ms(), {stage: self.rates.stage(stage).per_s for stage in STAGES})
        self.health = [*self._services(looks), *parts]

    def _services(self, looks: Sequence[tuple[Instance, Answer]]) -> list[Health]:
        order = {service: place for place, service in enumerate(STAGES)}
        running = {instance.service for instance, _ in looks}
        found: list[tuple[str, int, Answer | None]] = [(i.service, i.slot, answer) for i, answer in looks]
        found += [(service, 0, None) for service in self._expected if service not in running]
        found.sort(key=lambda one: (order.get(one[0], len(order)), one[0], one[1]))
        several = {service for service, slot, _ in found if slot > 0}
        return [
            judge(f"{service}.{slot}" if service in several else service, answer, self.rates.stage(service))
            for service, slot, answer in found
        ]


async def ask(http: aiohttp.ClientSession, instance: Instance) -> Answer:
    """What an instance says, in three requests at once; never raises."""
    try:
        (live, why_dead), (ready, why_not), (status, text) = await asyncio.gather(
            *(_get(http, f"{instance.url}/{path}") for path in ("livez", "readyz", "metrics"))
        )
        figures = parse_figures(text) if status == 200 else Figures()
    except TimeoutError:
        return Answer(answered=False, detail=f"{instance.url} took more than {_TIMEOUT_S:.0f} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(answered=False, detail=str(error)[:300])
    alive, able = live == 200, ready == 200
    detail = "" if alive and able else _one_line(why_not if alive else why_dead)
    return Answer(answered=True, alive=alive, ready=able, detail=detail, figures=figures)


async def _get(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with http.get(url, allow_redirects=False) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise ValueError(f"{url} answers with more than {_MAX_ANSWER_BYTES} bytes")
        return response.status, body.decode("utf-8", "replace")


async def _probe(name: str, probe: Probe) -> Health:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await probe()
    except TimeoutError:
        return Health(name, Condition.ERROR, f"did not answer within {_TIMEOUT_S:.0f} s")
    except Exception as error:  # noqa: BLE001  whatever is wrong with a part is what health is to tell
        return Health(name, Condition.ERROR, _one_line(str(error) or type(error).__name__))
    return Health(name, Condition.READY)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
