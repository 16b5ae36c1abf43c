"""A reader of the WebSocket that comes back with its cursor whenever it is cut off."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import orjson


class Follower:
    """Keeps the uid of every event it was sent."""

    def __init__(self, endpoint: Callable[[], str | None]) -> None:
        self._endpoint = endpoint
        self._cursor: str | None = None
        self.uids: dict[bytes, int] = {}
        self.dropped = 0
        self.connected = asyncio.Event()
        """Set once it stands somewhere: what comes from then on must all reach it."""

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aiohttp.ClientSession() as http:
            while True:
                if (at := self._endpoint()) is not None:
                    with suppress(aiohttp.ClientError, TimeoutError, OSError):
                        async with asyncio.timeout(10):
                            socket = await http.ws_connect(f"{at.replace('http', 'ws', 1)}/ws", max_msg_size=0)
                        await self._follow(socket)
                await asyncio.sleep(0.2)

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        subscribe = {"type": "subscribe"} | ({"cursor": self._cursor} if self._cursor is not None else {})
        await socket.send_str(orjson.dumps(subscribe).decode())
        while True:
            message = await socket.receive(timeout=15)  # a cursor comes every second: silence is a dead line
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            found = orjson.loads(message.data)
            match found["type"]:
                case "event":
                    uid = bytes.fromhex(found["event"]["uid"])
                    self.uids[uid] = self.uids.get(uid, 0) + 1
                case "cursor":
                    self._cursor = found["cursor"]
                    self.connected.set()
                case "dropped":
                    self.dropped += found["count"]
                case _:
                    raise AssertionError(found)
