"""POST /events: one event or up to 1,000 as NDJSON; answered once the broker has acknowledged every one of them."""

import asyncio
import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from time import perf_counter

import orjson
import structlog
from aiohttp import web

from penstock import metrics
from penstock.clock import Clock
from penstock.errors import Category, DataError, PenstockError
from penstock.metrics import Metrics
from penstock.stream import headers
from penstock.stream.publisher import Publisher
from services.ingest.accept import Acceptor
from services.ingest.bodies import MAX_BODY_BYTES, MAX_EVENTS, Read, Refusal, TooManyEventsError, read_events
from services.ingest.token_bucket import TokenBucket

log = structlog.get_logger(__name__)

MAX_UNDER_WAY = 32
"""Requests whose bodies are in memory at a time; the others wait unread."""
BODY_TIMEOUT_S = 30.0
"""How long a body may take to come, so that slow ones do not keep the others waiting for ever."""
RETRY_BROKER_S = 1
_STOPPING = (Category.SYSTEM, Category.PERMANENT)


class Api:
    """
    Args:
        token: None lets everybody in but browsers, which would carry requests of any page one looks at.
        fail: told of what ingest cannot go on with, e.g. that its clock is ahead.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        publisher: Publisher,
        bucket: TokenBucket,
        token: str | None,
        clock: Clock,
        table: Metrics,
        fail: Callable[[PenstockError], None],
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._acceptor = acceptor
        self._publisher = publisher
        self._bucket = bucket
        self._token = None if token is None else token.encode()
        self._clock = clock
        self._records = table.counter(metrics.RECORDS)
        self._seconds = table.histogram(metrics.REQUEST_SECONDS)
        self._fail = fail
        self._body_timeout_s = body_timeout_s
        self._under_way = asyncio.Semaphore(MAX_UNDER_WAY)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post("/events", self._timed)
        return application

    async def _timed(self, request: web.Request) -> web.StreamResponse:
        started_s = perf_counter()
        response = self._stranger(request)
        if response is None:
            async with self._under_way:
                response = await self._post(request)
        self._seconds.labels(str(response.status)).observe(perf_counter() - started_s)
        return response

    def _stranger(self, request: web.Request) -> web.Response | None:
        if self._token is None:
            if "Origin" in request.headers:
                return _problem(403, "a page in a browser may not post events: set PENSTOCK_INGEST_TOKEN and send it")
            return None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return _problem(
            401, "the token is missing or wrong: Authorization: Bearer <token>", {"WWW-Authenticate": "Bearer"}
        )

    async def _post(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await request.read()
            read = read_events(body, self._clock.now_ms())
        except TimeoutError:
            return _problem(408, f"the body did not come within {self._body_timeout_s:.0f} s")
        except web.HTTPRequestEntityTooLarge:
            return _problem(413, f"the body has more than {MAX_BODY_BYTES:,} bytes: send it in parts")
        except TooManyEventsError as error:
            return _problem(413, f"{error}: send them in parts of up to {MAX_EVENTS:,}")
        now_s = self._clock.monotonic_s()
        if not self._bucket.take(len(read), now_s):
            self._count("throttled", len(read))
            wait_s = max(1, math.ceil(self._bucket.wait_s(len(read), now_s)))
            return _problem(429, f"more than may come in now: again in {wait_s} s", {"Retry-After": str(wait_s)})
        return await self._publish(read, request.headers.get(headers.TRACEPARENT))

    async def _publish(self, read: Read, traceparent: str | None) -> web.Response:
        trace = None if traceparent is None else traceparent.encode("ascii", "replace")
        outgoing, lines, refused = [], [], list(read.refused)
        for line, event in read.events:
            try:
                outgoing.append(self._acceptor.accept(event, trace))
                lines.append(line)
            except DataError as error:
                refused.append(Refusal.of(line, error))
        results = await self._publisher.publish(outgoing)
        failed = [(line, error) for line, error in zip(lines, results, strict=True) if error is not None]
        refused += [Refusal.of(line, error) for line, error in failed if isinstance(error, DataError)]
        away = [error for _, error in failed if not isinstance(error, DataError)]
        accepted = len(outgoing) - len(failed)
        self._count("in", len(read))
        self._count("out", accepted)
        self._count("refused", len(refused))
        if away:
            return self._not_now(away, accepted)
        status = 202 if not refused else 207 if accepted else 400
        return _answer(status, accepted, sorted(refused, key=lambda refusal: refusal.line))

    def _not_now(self, errors: Sequence[PenstockError], accepted: int) -> web.Response:
        """Some or all were not acknowledged; to send all of them again does no harm, they are the same events."""
        self._count("failed", len(errors))
        for error in errors:
            if error.category in _STOPPING:
                self._fail(error)
                break
        log.warning("not acknowledged", events=len(errors), error=str(errors[0]))
        problem = f"{len(errors)} events were not acknowledged by the broker: send the whole request again"
        return _problem(503, problem, {"Retry-After": str(RETRY_BROKER_S)}, accepted)

    def _count(self, outcome: str, events: int) -> None:
        if events:
            self._records.labels("ingest", outcome).inc(events)


def _answer(status: int, accepted: int, refused: Sequence[Refusal], more: dict[str, str] | None = None) -> web.Response:
    content = {"accepted": accepted, "errors": [asdict(refusal) for refusal in refused]}
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json", headers=more)


def _problem(status: int, reason: str, more: dict[str, str] | None = None, accepted: int = 0) -> web.Response:
    """An answer about the whole request: its one error has no line."""
    content = {"accepted": accepted, "errors": [{"line": None, "field": None, "reason": reason}]}
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json", headers=more)
