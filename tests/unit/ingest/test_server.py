"""Ports: the default one moves on when it is taken, one that was asked for does not."""

import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from penstock.errors import SystemFaultError
from services.ingest.server import Server


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_taken_default_port_moves_to_the_next_free_one(taken: int) -> None:
    server = Server(web.Application(), "127.0.0.1", None, taken)
    url = await server.start()
    await server.stop()
    assert int(url.rpartition(":")[2]) > taken


async def test_a_taken_port_that_was_asked_for_is_an_error_with_a_way_out(taken: int) -> None:
    with pytest.raises(SystemFaultError, match=f"127.0.0.1:{taken}: .* PENSTOCK_INGEST_PORT"):
        await Server(web.Application(), "127.0.0.1", taken, 8421).start()


async def test_a_host_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(SystemFaultError, match="cannot be served on"):
        await Server(web.Application(), "203.0.113.1", 0, 8421).start()


async def test_port_0_is_any_free_one() -> None:
    server = Server(web.Application(), "127.0.0.1", 0, 8421)
    url = await server.start()
    await server.stop()
    assert url.startswith("http://127.0.0.1:")
    assert not url.endswith(":0")
