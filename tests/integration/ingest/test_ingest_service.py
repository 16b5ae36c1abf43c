"""Ingest on real Kafka and registry: what its doors let in is in events.raw, the rest is told or kept."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from confluent_kafka import Producer

from penstock.clock import SystemClock
from penstock.event_input import parse_event
from penstock.fingerprint import Fingerprinter
from penstock.local.state import StateFile
from penstock.schema.admin import apply_all
from penstock.schema.codec import Codec, Decoder, encoder
from penstock.schema.registry import Registry
from tests.conftest import RunningStack
from tests.integration.ingest.world import IngestProcess, Topic, frozen, ingest, watching

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(stack: RunningStack) -> RunningStack:
    """The stack with its topics and schemas."""
    await apply_all(stack.bootstrap_servers, stack.schema_registry_url)
    return stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(ready: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[IngestProcess]:
    async with ingest(ready, tmp_path_factory.mktemp("ingest"), PENSTOCK_INGEST_ACK_TIMEOUT_S="1") as at:
        yield at


@pytest.fixture
def source() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def raw(ready: RunningStack) -> Iterator[Topic]:
    yield from watching(ready, "events.raw")


@pytest.fixture
def letters(ready: RunningStack) -> Iterator[Topic]:
    yield from watching(ready, "dlq.ingest")


def event(source: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"source": source, "id": str(number), "kind": "post", "occurred_at": "2015-01-01T00:00:00Z", **fields}


async def post(at: IngestProcess, *events: Any) -> tuple[int, Any, Any]:
    body = b"\n".join(orjson.dumps(event) for event in events)
    async with aiohttp.ClientSession() as client, client.post(f"{at.api}/events", data=body) as response:
        return response.status, await response.json(), response.headers


async def test_202_means_that_it_is_in_events_raw(
    ready: RunningStack, service: IngestProcess, raw: Topic, source: str
) -> None:
    before_ms = SystemClock().now_ms()
    status, answer, _ = await post(service, event(source, 1, text="Größe 日本"), event(source, 2), event(source, 1))
    after_ms = SystemClock().now_ms()
    assert (status, answer) == (202, {"accepted": 3, "errors": []})

    raw.read_until(lambda: len(raw.of(source)) == 3)
    async with Registry(ready.schema_registry_url) as registry:
        decoder = Decoder(registry, "event")
        await decoder.prepare([message.value() for message in raw.of(source)])
        records = [(message, decoder.decode(message.value())) for message in raw.of(source)]
    fingerprints = Fingerprinter(bytes.fromhex(ready.fingerprint_key))
    for message, record in records:
        headers = dict(message.headers() or [])
        assert before_ms <= message.timestamp()[1] <= after_ms
        assert record["ingested_at"] == message.timestamp()[1]
        assert set(headers) == {"uid", "source", "traceparent", "occurred-at", "fingerprint-version"}
        assert headers["occurred-at"] == b"1420070400000"
        expected = event(source, record["id"].rpartition(":")[2]) | {"text": record["text"]}
        assert message.key() == fingerprints.of(parse_event(expected, after_ms))
    assert len({dict(message.headers() or [])["uid"] for message, _ in records}) == 3
    assert len({message.key() for message, _ in records}) == 3  # the third one is an edit: it has no text


async def test_a_mixed_request_lets_the_good_lines_in(service: IngestProcess, raw: Topic, source: str) -> None:
    status, answer, _ = await post(service, event(source, 1), event(source, 2, text="a\0b"), {}, event(source, 4))
    assert (status, answer["accepted"]) == (207, 2)
    assert [(error["line"], error["field"]) for error in answer["errors"]] == [(2, "text"), (3, "source")]
    raw.read_until(lambda: len(raw.of(source)) == 2)


async def test_an_inbox_event_goes_on_and_everything_else_is_a_dead_letter(
    ready: RunningStack, service: IngestProcess, raw: Topic, letters: Topic, source: str
) -> None:
    async with Registry(ready.schema_registry_url) as registry:
        codec = await encoder(registry, "event", "events.inbox-value")
        good = inbox_value(codec, source, 1)
        bad = {
            "bad-magic": orjson.dumps(event(source)),
            "truncated": good[:-1],
            "unknown-schema": b"\0\x7f\xff\xff\xff" + good[5:],
            "empty-value": b"",
            "tombstone": None,
            "nul-character": inbox_value(codec, source, 2, text="a\0b"),
            "not-finite": inbox_value(codec, source, 3, measures={"a": float("nan")}),
            "out-of-range": inbox_value(codec, source, 4, occurred_at=253_402_300_799_999),
            "trailing-bytes": good + b"\0",
        }
        producer = Producer({"bootstrap.servers": ready.bootstrap_servers})
        huge: list[tuple[str, str | bytes | None]] = [("padding", b"x" * 200_000), ("uid", b"forged")]
        for value in (good, *bad.values()):
            producer.produce("events.inbox", value, key=source.encode(), headers=huge)
        producer.produce("events.inbox", inbox_value(codec, source, 9), key=source.encode())
        assert producer.flush(10) == 0

        raw.read_until(lambda: len(raw.of(source)) == 2)
        letters.read_until(lambda: sum(letter.key() == source.encode() for letter in letters.messages) == len(bad))
        ours = [letter for letter in letters.messages if letter.key() == source.encode()]
        decoder = Decoder(registry, "dead_letter")
        await decoder.prepare([letter.value() for letter in ours])
        told = [decoder.decode(letter.value()) for letter in ours]
    assert sorted(letter["reason"] for letter in told) == sorted(bad)
    assert {letter["reason"]: letter["value"] for letter in told} == bad
    assert all(letter["headers"][0]["value"] == b"x" * 200_000 for letter in told)
    assert len({(letter["topic_id"], letter["partition"], letter["offset"]) for letter in told}) == len(bad)
    for message in raw.of(source):
        assert len(message.headers() or []) == 5
        assert len(dict(message.headers() or [])["uid"] or b"") == 16


def inbox_value(codec: Codec, source: str, number: int, **fields: Any) -> bytes:
    record = parse_event(event(source, number), SystemClock().now_ms()).to_record()
    return codec.encode(record | {"ingested_at": 0} | fields)


@pytest.mark.skipif("PENSTOCK_TEST_STACK" in os.environ, reason="others use this stack: its broker is not frozen")
async def test_503_while_the_broker_is_away_and_202_when_it_is_back(
    ready: RunningStack, service: IngestProcess, raw: Topic, source: str
) -> None:
    assert (await post(service, event(source, 1)))[0] == 202
    state = StateFile(ready.data).read()
    assert state is not None
    async with frozen(state.running["kafka"].pid):
        status, answer, headers = await post(service, event(source, 2))
    assert (status, answer["accepted"], headers["Retry-After"]) == (503, 0, "1")
    async with asyncio.timeout(60):
        while status != 202:
            status, _, _ = await post(service, event(source, 2))
    raw.read_until(lambda: len({message.key() for message in raw.of(source)}) == 2)
    assert service.process.returncode is None


async def test_too_much_is_429_with_the_time_to_wait(ready: RunningStack, tmp_path: Path, source: str) -> None:
    slow = {"PENSTOCK_INGEST_RATE_PER_S": "1", "PENSTOCK_INGEST_BURST": "1000"}
    async with ingest(ready, tmp_path, **slow) as at:
        assert (await post(at, *(event(source, number) for number in range(1000))))[0] == 202
        status, answer, headers = await post(at, *(event(source, number) for number in range(60)))
        assert (status, answer["accepted"]) == (429, 0)
        assert 50 <= int(headers["Retry-After"]) <= 60


async def test_it_tells_its_health_and_ends_as_asked(ready: RunningStack, tmp_path: Path) -> None:
    async with ingest(ready, tmp_path) as at, aiohttp.ClientSession() as client:

        async def status(path: str) -> int:
            async with client.get(at.http + path) as response:
                return response.status

        assert await status("/livez") == 200
        async with asyncio.timeout(60):
            while await status("/readyz") != 200:
                continue
        async with client.get(f"{at.http}/metrics") as response:
            assert "penstock_request_seconds" in await response.text()
        assert await at.stop() == 0
        assert not at.endpoints.exists()


async def test_a_port_that_was_asked_for_and_is_taken_ends_it_with_3(ready: RunningStack, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"cannot be served on 127.0.0.1:{port}"):
            async with ingest(ready, tmp_path, PENSTOCK_INGEST_PORT=str(port)):
                pass


async def test_wrong_settings_end_it_with_2_and_name_the_variable(ready: RunningStack, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"PENSTOCK_INGEST_TOKEN must be set"):
        async with ingest(ready, tmp_path, PENSTOCK_INGEST_HOST="0.0.0.0"):  # noqa: S104  that is what is refused
            pass
