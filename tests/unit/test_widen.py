"""A widening stage answers for every record: widened, or a dead letter, and the rest goes on."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from penstock.errors import DataError, TransientError
from penstock.stream.widen import Widen
from penstock.testing.builders import record


class Plain:
    """A codec whose values are text; `bad` can't be read."""

    def __init__(self) -> None:
        self.asked: list[bytes | None] = []

    def lacks(self, values: Iterable[bytes | None]) -> bool:
        return not set(self.asked).issuperset(values)

    async def prepare(self, values: Iterable[bytes | None], *, at_most: int | None) -> None:
        self.asked += list(values)[:at_most]

    def decode(self, value: bytes | None) -> dict[str, Any]:
        if value == b"bad":
            raise DataError("truncated", "it is bad")
        return {"text": value}


def encode(fields: dict[str, Any]) -> bytes:
    return bytes(fields["text"]) + b"+" + bytes(fields["mark"])


def mark(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(fields["text"] == b"poison" for fields in batch):
        raise ZeroDivisionError("the model broke")
    return [{"mark": b"%d" % len(batch)} for _ in batch]


HEADERS = [("uid", b"u" * 16), ("source", b"github"), ("own", None)]


async def test_a_record_keeps_key_headers_and_timestamp() -> None:
    handler = Widen(Plain(), mark, encode, "out", 1000)
    output = await handler.process([record(b"a", key=b"k" * 16, headers=HEADERS, timestamp_ms=123)])
    (sent,) = output.send
    assert sent == ("out", b"k" * 16, b"a+1", HEADERS, 123, -1)


async def test_it_asks_for_what_its_codec_lacks_a_bounded_number_at_a_time() -> None:
    plain = Plain()
    handler, batch = Widen(plain, mark, encode, "out", 1000), [record(b"%d" % number) for number in range(100)]
    turns = 0
    while handler.must_ask(batch):
        await handler.ask(batch[len(plain.asked) :])
        turns += 1
    assert turns == 2
    assert len(plain.asked) == 100


async def test_a_record_that_was_sent_back_goes_on_as_if_it_had_never_been_away() -> None:
    back = [*HEADERS, ("retry-count", b"2"), ("ingest-time", b"123")]
    sent_back = record(b"a", topic="retry.mark", key=b"k" * 16, headers=back, timestamp_ms=999)
    (sent,) = (await Widen(Plain(), mark, encode, "out", 1000).process([sent_back])).send
    assert sent == ("out", b"k" * 16, b"a+1", HEADERS, 123, -1)


async def test_an_unreadable_record_is_dead_and_the_others_go_on() -> None:
    output = await Widen(Plain(), mark, encode, "out", 1000).process([record(b"a"), record(b"bad"), record(b"c")])
    assert [sent.value for sent in output.send] == [b"a+2", b"c+2"]
    assert [dead.error.reason for dead in output.dead] == ["truncated"]


async def test_a_record_that_breaks_the_model_dies_alone() -> None:
    output = await Widen(Plain(), mark, encode, "out", 1000).process([record(b"a"), record(b"poison"), record(b"c")])
    assert [sent.value for sent in output.send] == [b"a+1", b"c+1"]
    assert [(dead.record.value(), dead.error.reason) for dead in output.dead] == [(b"poison", "model-failed")]


async def test_a_record_too_large_for_its_topic_is_dead_before_the_broker_refuses_it() -> None:
    output = await Widen(Plain(), mark, encode, "out", 1000).process([record(b"x" * 990), record(b"y")])
    assert [sent.value for sent in output.send] == [b"y+2"]
    assert [dead.error.reason for dead in output.dead] == ["too-large"]


async def test_a_record_without_an_ingest_time_is_dead_and_not_given_the_present() -> None:
    output = await Widen(Plain(), mark, encode, "out", 1000).process([record(b"x", timestamp_ms=-1), record(b"y")])
    assert [sent.value for sent in output.send] == [b"y+2"]
    assert [dead.error.reason for dead in output.dead] == ["no-timestamp"]


async def test_a_model_that_is_away_is_not_the_records_fault() -> None:
    def away(_: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        raise TransientError("the model's server is away")

    with pytest.raises(TransientError):
        await Widen(Plain(), away, encode, "out", 1000).process([record(b"a")])
