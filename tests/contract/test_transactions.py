"""What the port promises about transactions and who may see them."""

import asyncio

import pytest

from penstock.errors import PermanentError, SystemFaultError
from penstock.stream.port import Broker, Outcome, Outgoing, TopicPartition
from tests.contract.bench import Bench
from tests.contract.steps import (
    comes_to_read,
    committed,
    end_of,
    end_reaches,
    lines,
    read_all,
    silence,
    start_reading,
    take,
    take_with_membership,
    transact,
    values,
)


async def test_records_of_an_open_transaction_are_not_seen(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce(lines(bench, topic, b"open"), {})
    assert await read_all(writer, tp) == []
    assert await writer.commit({}, None) is Outcome.COMMITTED
    await comes_to_read(writer, tp, b"open")


async def test_an_aborted_transaction_is_never_seen(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce(lines(bench, topic, b"never"), {})
    assert await writer.abort() is Outcome.ABORTED
    assert await transact(writer, lines(bench, topic, b"then")) is Outcome.COMMITTED
    await comes_to_read(writer, tp, b"then")


async def test_a_transaction_may_be_committed_empty(bench: Bench) -> None:
    writer = bench.broker(bench.name("w"))
    await writer.start()
    assert await transact(writer, []) is Outcome.COMMITTED
    assert await transact(writer, []) is Outcome.COMMITTED


async def test_an_open_transaction_holds_back_plain_records_behind_it(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    group = bench.name("g")
    writer = bench.broker(bench.name("w"))
    reader = bench.broker(group, topic)
    await writer.start()
    await reader.start()
    await bench.send(lines(bench, topic, b"before"))
    await writer.begin()
    await writer.produce(lines(bench, topic, b"inside"), {})
    await bench.written(tp, 2)
    await bench.send(lines(bench, topic, b"behind"))
    await start_reading(reader, [tp])
    assert values(await take(reader, 1)) == [b"before"]
    await silence(reader)
    assert await end_of(reader, tp) == 1
    assert await writer.commit({}, None) is Outcome.COMMITTED
    assert values(await take(reader, 2)) == [b"inside", b"behind"]


async def test_positions_count_the_markers(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    group = bench.name("g")
    broker = bench.broker(group, topic)
    await broker.start()
    assert await transact(broker, lines(bench, topic, b"a", b"b")) is Outcome.COMMITTED
    await start_reading(broker, [tp])
    assert values(await take(broker, 2)) == [b"a", b"b"]
    await silence(broker)
    assert await broker.positions([tp]) == {tp: 3}
    assert await end_of(broker, tp) == 3


async def test_positions_count_what_was_aborted(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await bench.send(lines(bench, topic, b"plain"))
    await broker.begin()
    await broker.produce(lines(bench, topic, b"x", b"y"), {})
    await bench.written(tp, 3)
    assert await broker.abort() is Outcome.ABORTED
    await start_reading(broker, [tp])
    assert values(await take(broker, 1)) == [b"plain"]
    await silence(broker)
    assert await broker.positions([tp]) == {tp: 4}


@pytest.mark.verdict("fenced")
async def test_a_second_producer_of_the_same_id_fences_the_first(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    shared = bench.name("tx")
    first = bench.broker(bench.name("g1"), transactional_id=shared)
    second = bench.broker(bench.name("g2"), transactional_id=shared)
    await first.start()
    await first.begin()
    await first.produce(lines(bench, topic, b"zombie"), {})
    await bench.written(tp, 1)
    await second.start()
    assert await first.commit({}, None) is Outcome.FENCED
    assert await transact(second, lines(bench, topic, b"heir")) is Outcome.COMMITTED
    await comes_to_read(second, tp, b"heir")


@pytest.mark.verdict("fenced")
@pytest.mark.verdict("fatal")
async def test_a_fenced_producer_goes_on_once_renewed(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    shared = bench.name("tx")
    first = bench.broker(bench.name("g1"), transactional_id=shared)
    second = bench.broker(bench.name("g2"), transactional_id=shared)
    await first.start()
    await first.begin()
    await first.produce(lines(bench, topic, b"zombie"), {})
    await second.start()
    assert await first.commit({}, None) is Outcome.FENCED
    await first.renew()
    assert await transact(first, lines(bench, topic, b"again")) is Outcome.COMMITTED
    assert await transact(second, lines(bench, topic, b"now fenced")) is Outcome.FENCED
    await comes_to_read(first, tp, b"again")


async def test_renewing_aborts_what_was_open(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce(lines(bench, topic, b"lost"), {})
    await writer.renew()
    assert await transact(writer, lines(bench, topic, b"kept")) is Outcome.COMMITTED
    await comes_to_read(writer, tp, b"kept")


async def test_a_transaction_left_open_is_aborted_by_its_time_out(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    writer = bench.broker(bench.name("w"), transaction_timeout_s=2.0)
    await writer.start()
    await writer.begin()
    await writer.produce(lines(bench, topic, b"too slow"), {})
    await bench.written(tp, 1)
    await end_reaches(writer, tp, 2)
    assert await writer.commit({}, None) in (Outcome.FENCED, Outcome.ABORTED)
    await writer.renew()
    assert await transact(writer, lines(bench, topic, b"in time")) is Outcome.COMMITTED
    await comes_to_read(writer, tp, b"in time")


@pytest.mark.verdict("too large")
async def test_a_too_large_record_fails_its_whole_transaction(bench: Bench) -> None:
    topic, tight = await bench.topic(), await bench.topic(max_message_bytes=2000)
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce([*lines(bench, topic, b"innocent"), *lines(bench, tight, incompressible(5000))], {})
    with pytest.raises(PermanentError, match=r"(?i)too.large"):
        await writer.commit({}, None)
    assert await transact(writer, lines(bench, topic, b"next")) is Outcome.COMMITTED
    await comes_to_read(writer, TopicPartition(topic, 0), b"next")


async def refused_for_a_timestamp(bench: Bench, records: list[Outgoing]) -> Broker:
    """Commits these in vain; returns their writer, fit to go on."""
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce(records, {})
    with pytest.raises(SystemFaultError, match=r"(?i)timestamp"):
        await writer.commit({}, None)
    await writer.renew()  # the real producer has lost count of its sequence numbers
    return writer


@pytest.mark.verdict("invalid timestamp")
async def test_a_timestamp_ahead_of_the_broker_fails_its_whole_transaction(bench: Bench) -> None:
    topic = await bench.topic(timestamp_after_max_ms=150_000)
    good = lines(bench, topic, b"of now")
    ahead = [Outgoing(topic, None, b"of the future", [], bench.now_ms() + 600_000, 0)]
    writer = await refused_for_a_timestamp(bench, [*good, *ahead])
    assert await transact(writer, lines(bench, topic, b"next")) is Outcome.COMMITTED
    await comes_to_read(writer, TopicPartition(topic, 0), b"next")


@pytest.mark.verdict("invalid timestamp")
async def test_a_timestamp_too_far_behind_the_broker_fails_its_whole_transaction(bench: Bench) -> None:
    topic = await bench.topic(timestamp_before_max_ms=86_400_000)
    good = [Outgoing(topic, None, b"of an hour ago", [], bench.now_ms() - 3_600_000, 0)]
    behind = [Outgoing(topic, None, b"of two days ago", [], bench.now_ms() - 2 * 86_400_000, 0)]
    writer = await refused_for_a_timestamp(bench, [*good, *behind])
    assert await transact(writer, good) is Outcome.COMMITTED
    await comes_to_read(writer, TopicPartition(topic, 0), b"of an hour ago")


async def test_what_comes_after_a_refused_record_waits_for_the_commit_to_say_so(bench: Bench) -> None:
    topic = await bench.topic(timestamp_after_max_ms=150_000)
    writer = bench.broker(bench.name("w"))
    await writer.start()
    await writer.begin()
    await writer.produce([Outgoing(topic, None, b"of the future", [], bench.now_ms() + 600_000, 0)], {})
    for _ in range(10):  # the refusal arrives in between
        await asyncio.sleep(0.1)
        await writer.produce(lines(bench, topic, b"of now"), {})
    with pytest.raises(SystemFaultError, match=r"(?i)timestamp"):
        await writer.commit({}, None)


async def test_committed_offsets_are_read_back(bench: Bench) -> None:
    topic, out = await bench.topic(), await bench.topic()
    tp = TopicPartition(topic, 0)
    group = bench.name("g")
    await bench.commit_offset(group, topic, 0, 0)
    await bench.send(lines(bench, topic, b"a", b"b"))
    broker = bench.broker(group, topic)
    await broker.start()
    assert await committed(broker, tp) == 0
    await start_reading(broker, [tp])
    _, membership = await take_with_membership(broker, 2)
    assert await transact(broker, lines(bench, out, b"x"), {tp: 2}, membership) is Outcome.COMMITTED
    assert await committed(broker, tp) == 2


async def test_an_aborted_transaction_leaves_the_offsets(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    group = bench.name("g")
    await bench.commit_offset(group, topic, 0, 7)
    broker = bench.broker(group, topic)
    await broker.start()
    await broker.begin()
    await broker.produce(lines(bench, topic, b"x"), {})
    assert await broker.abort() is Outcome.ABORTED
    assert await committed(broker, tp) == 7


@pytest.mark.verdict("no committed offset")
async def test_an_offset_that_is_gone_is_none_again(bench: Bench) -> None:
    topic = await bench.topic()
    group = bench.name("g")
    await bench.commit_offset(group, topic, 0, 3)
    await bench.forget_offsets(group)
    broker = bench.broker(group, topic)
    await broker.start()
    assert await committed(broker, TopicPartition(topic, 0)) is None


@pytest.mark.verdict("no committed offset")
async def test_an_offset_never_committed_is_none(bench: Bench) -> None:
    topic = await bench.topic()
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    assert await committed(broker, TopicPartition(topic, 0)) is None


def incompressible(size: int) -> bytes:
    """Bytes that no batch compression makes smaller, the same every time."""
    state, out = 1, bytearray()
    for _ in range(size):
        state = state * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF
        out.append(state >> 56)
    return bytes(out)


async def test_a_read_from_before_the_first_record_that_is_kept_begins_there(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    await bench.send(lines(bench, topic, b"a", b"b", b"c", b"d"))
    reader = bench.broker(bench.name("r"))
    await reader.delete_records({tp: 2})
    assert values(await reader.read(tp, 0, 4, 100)) == [b"c", b"d"]
    assert values(await reader.read(tp, 1, 2, 100)) == []
    assert values(await reader.read(tp, 3, 4, 100)) == [b"d"]
