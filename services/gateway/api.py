"""`/api/*`: what can be asked once, in JSON."""

from collections.abc import Mapping

import orjson
from aiohttp import web

from penstock.clock import Clock
from penstock.errors import DataError, PenstockError, ThrottledError, TransientError
from services.gateway.health import Health, overall
from services.gateway.messages import rfc3339
from services.gateway.query import event_of, page_after, parse_search
from services.gateway.rates import STAGES, StageRates
from services.gateway.reader import Reader
from services.gateway.series import SERIES_S
from services.gateway.store import Store
from services.gateway.watch import Watch
from services.gateway.websocket import Sockets


class Api:
    def __init__(self, store: Store, watch: Watch, reader: Reader, sockets: Sockets, clock: Clock) -> None:
        self._store = store
        self._watch = watch
        self._reader = reader
        self._sockets = sockets
        self._clock = clock

    async def events(self, request: web.Request) -> web.Response:
        given = {name: request.query.getall(name) for name in request.query}
        search = parse_search(given, self._clock.now_ms())
        found = await self._store.search(search)
        after = page_after(found.rows[-1]) if found.more else None
        return _json({"events": [event_of(row) for row in found.rows], "next": after})

    async def stats(self, request: web.Request) -> web.Response:
        """Answers from the last look, which is at most a second old."""
        history_s = _history(request.query)
        rates, now_ms = self._watch.rates, self._clock.now_ms()
        body: dict[str, object] = {
            "at": rfc3339(now_ms),
            "stages": [_stage(rates.stage(stage)) for stage in STAGES],
            "duplicates": {"count": rates.duplicates(), "share": _rounded(rates.duplicate_share(), 4)},
            "feed": self._feed(),
        }
        if history_s:
            body["history"] = self._watch.series.columns(now_ms - history_s * 1000)
        return _json(body)

    async def health(self, _request: web.Request) -> web.Response:
        """200 whatever it says: the question was answered. /readyz is for those who want a status code."""
        found = self._watch.health
        return _json(
            {
                "at": rfc3339(self._clock.now_ms()),
                "state": overall(found),
                "services": [_health(one) for one in found if one.name not in self._watch.parts],
                "parts": [_health(one) for one in found if one.name in self._watch.parts],
            }
        )

    def _feed(self) -> dict[str, object]:
        hub = self._reader.hub
        lag = 0 if hub is None else sum(max(0, end - hub.position[p]) for p, end in self._reader.ends.items())
        return {
            "clients": len(self._sockets),
            "behind": 0 if hub is None else hub.behind,
            "filters": 0 if hub is None else hub.filters,
            "lag": lag,
        }


def error_response(error: PenstockError) -> web.Response:
    """What went wrong, as the client's part of it: 400 is its own, 503 passes, 504 wants a narrower question."""
    if isinstance(error, DataError):
        return _json({"error": {"reason": error.reason, "detail": error.detail, "field": error.field}}, 400)
    if isinstance(error, ThrottledError):
        after = {"Retry-After": str(round(error.retry_after_s) or 1)}
        return _json({"error": {"reason": "busy", "detail": str(error), "field": None}}, 503, after)
    if isinstance(error, TransientError):
        return _json(
            {"error": {"reason": "unavailable", "detail": str(error), "field": None}}, 503, {"Retry-After": "1"}
        )
    return _json({"error": {"reason": "not-possible", "detail": str(error), "field": None}}, 504)


def _history(query: Mapping[str, str]) -> int:
    for name in query:
        if name != "history":
            raise DataError("bad-parameter", "there is history", field=name)
    text = query.get("history", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= SERIES_S):
        raise DataError("bad-parameter", f"seconds, a whole number up to {SERIES_S}", field="history")
    return int(text)


def _stage(rates: StageRates) -> dict[str, object]:
    return {
        "stage": rates.stage,
        "per_s": round(rates.per_s, 1),
        "out_per_s": round(rates.out_per_s, 1),
        "dead_per_s": round(rates.dead_per_s, 2),
        "total": rates.total,
        "dead": rates.dead,
        "lag": rates.lag,
    }


def _health(health: Health) -> dict[str, object]:
    return {"name": health.name, "state": health.state, "detail": health.detail}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", headers={**_FRESH, **(headers or {})}
    )


_FRESH = {"Cache-Control": "no-store"}
