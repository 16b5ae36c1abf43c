"""A wire that can be cut: a TCP proxy in front of a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on, until told to cut. `port` is where it listens, the same all its life."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cut_answer: Callable[[bytes], bool] = lambda _sent: False
        """Asked for every piece a client sent; True: it goes through, and its answer never comes back."""
        self.answer_instead = b""
        """What the client gets in place of the server's answer, before it is cut off."""
        self.cuts = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Nobody gets in any more, and who is in is thrown out."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, upstream}
        self._writers |= ends
        muted = asyncio.Event()
        try:
            await asyncio.gather(self._forth(reader, upstream, muted), self._back(upstream_reader, writer, muted))
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, muted: asyncio.Event) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                if self.cut_answer(piece):
                    muted.set()
                    self.cuts += 1
                upstream.write(piece)
                await upstream.drain()
        upstream.transport.abort() if not muted.is_set() else None

    async def _back(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event) -> None:
        with suppress(OSError):
            while piece := await upstream.read(65536):
                if muted.is_set():  # the server has done it, and nobody hears
                    writer.write(self.answer_instead)
                    await writer.drain()
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
