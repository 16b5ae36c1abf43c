"""`/ws`: one client's socket. Takes subscribes, runs the client's session, answers what it cannot read with `error`."""

import asyncio
from dataclasses import dataclass

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from penstock.clock import Clock
from penstock.errors import DataError, PenstockError
from services.gateway import messages
from services.gateway.messages import Subscribe
from services.gateway.reader import Reader
from services.gateway.session import Session

_HEARTBEAT_S = 20.0
"""A client that answers no ping within half of this is gone."""
_SUBSCRIBE_WITHIN_S = 30.0
_MAX_MESSAGES = 30
"""Messages a client may send within `_MESSAGES_WITHIN_S`: a person at a filter is far below it."""
_MESSAGES_WITHIN_S = 10.0
_RETRY_AFTER = {"Retry-After": "1"}


class Sockets:
    """All open sockets; no more than `limit`."""

    def __init__(self, reader: Reader, clock: Clock, limit: int) -> None:
        self._reader = reader
        self._clock = clock
        self._limit = limit
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if len(self._open) >= self._limit:
            raise web.HTTPServiceUnavailable(text=f"all {self._limit} places are taken", headers=_RETRY_AFTER)
        if self._reader.hub is None:
            raise web.HTTPServiceUnavailable(text="the events are not read up to their end yet", headers=_RETRY_AFTER)
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, max_msg_size=messages.MAX_MESSAGE_BYTES, compress=False, timeout=2.0
        )
        if not socket.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="this address speaks WebSocket", headers={"Upgrade": "websocket"})
        self._open.add(socket)  # before the first await: the limit holds for a crowd that comes at once
        try:
            await socket.prepare(request)
            await _Conversation(socket, self._reader, self._clock).run()
        except ConnectionError:
            pass  # the client is gone: nobody is left to tell
        finally:
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Tells every client to come back: it has a cursor."""
        farewell = (s.close(code=WSCloseCode.GOING_AWAY, message=b"the gateway stops") for s in list(self._open))
        await asyncio.gather(*farewell, return_exceptions=True)


@dataclass(slots=True)
class _Allowance:
    """How many messages a client has sent in the current span of time."""

    since_s: float
    used: int = 0

    def spend(self, now_s: float) -> bool:
        if now_s - self.since_s >= _MESSAGES_WITHIN_S:
            self.since_s, self.used = now_s, 0
        self.used += 1
        return self.used <= _MAX_MESSAGES


class _Conversation:
    def __init__(self, socket: web.WebSocketResponse, reader: Reader, clock: Clock) -> None:
        self._socket = socket
        self._reader = reader
        self._clock = clock
        self._feeding: asyncio.Task[None] | None = None
        self._allowance = _Allowance(clock.monotonic_s())

    async def run(self) -> None:
        hurry = asyncio.get_running_loop().call_later(_SUBSCRIBE_WITHIN_S, self._hurry)
        try:
            async for message in self._socket:
                if not self._allowance.spend(self._clock.monotonic_s()):
                    await self._refuse(DataError("too-many-messages", f"more than {_MAX_MESSAGES} in a short time"))
                    await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)
                elif message.type is WSMsgType.TEXT:
                    await self._hear(message.data)
                elif message.type is WSMsgType.BINARY:
                    await self._refuse(DataError("bad-message", "a message is text, not binary"))
        finally:
            hurry.cancel()
            await self._stop_feeding()

    async def _hear(self, data: str) -> None:
        try:
            wanted = messages.parse_message(data)
        except DataError as error:
            await self._refuse(error)
            return
        await self._stop_feeding()
        self._feeding = asyncio.create_task(self._feed(wanted))

    async def _feed(self, wanted: Subscribe) -> None:
        assert self._reader.hub is not None  # noqa: S101  `handle` lets nobody in before
        session = Session(self._reader.hub, self._reader, self._clock, self._send)
        try:
            await session.run(wanted)
        except DataError as error:
            await self._refuse(error)
        except ConnectionError:
            return  # the client is gone; `run` sees it too
        except PenstockError as error:
            # What stops the reader as well, most likely; the client comes back with its cursor.
            structlog.get_logger("gateway").error("a client's feed ends", error=str(error))
            await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the feed cannot go on")

    async def _send(self, frame: bytes) -> None:
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def _refuse(self, error: DataError) -> None:
        await self._send(messages.error_frame(error))

    def _hurry(self) -> None:
        """A socket that asks for nothing takes a place from one that would."""
        if self._feeding is None:
            self._closing = asyncio.create_task(
                self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no subscribe came")
            )

    async def _stop_feeding(self) -> None:
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
