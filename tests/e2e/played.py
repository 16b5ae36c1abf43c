"""A gateway's side of /ws as a test says it, for what no test should have to overload a machine to see."""

import asyncio
from typing import Any

import orjson
from playwright.async_api import Page, WebSocketRoute

_WITHIN_S = 20.0


class Played:
    def __init__(self) -> None:
        self._socket: WebSocketRoute | None = None
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def stand_in(self, page: Page) -> None:
        """Answers this page in the gateway's place; to be called before it is opened."""
        await page.route_web_socket("**/ws", self._serve)

    async def asked(self) -> dict[str, Any]:
        """The next subscribe."""
        async with asyncio.timeout(_WITHIN_S):
            return await self._heard.get()

    def say(self, **message: object) -> None:
        assert self._socket is not None
        self._socket.send(orjson.dumps(message).decode())

    def say_cursor(self, to: dict[str, Any], *, lag: int = 0, lag_ms: int = 0, live: bool = True) -> None:
        self.say(type="cursor", cursor="1.x", id=to["id"], lag=lag, lag_ms=lag_ms, live=live)

    def _serve(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(lambda said: self._heard.put_nowait(orjson.loads(said)))
