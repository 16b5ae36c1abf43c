"""What the port promises about records and topics: what is stored comes back, while it is kept."""

import pytest

from penstock.errors import DataError, PenstockError, SystemFaultError
from penstock.stream import headers
from penstock.stream.port import Assigned, Headers, Outcome, Outgoing, Polled, Revoked, TopicPartition
from tests.contract.bench import Bench
from tests.contract.steps import (
    POLL_S,
    comes_to_read,
    committed,
    end_of,
    end_reaches,
    is_quiet,
    lines,
    next_event,
    read_all,
    silence,
    start_reading,
    take,
    transact,
    values,
)

CREATE_TIME, LOG_APPEND_TIME = 1, 2


async def test_a_record_comes_back_as_it_was_written(bench: Bench) -> None:
    topic = await bench.topic()
    broker = bench.broker(bench.name("w"))
    await broker.start()
    when_ms = bench.now_ms() - 5_000
    written: Headers = [("uid", b"\x00\x01"), ("twice", b"a"), ("twice", b"b"), ("null", None)]
    assert await transact(broker, [Outgoing(topic, b"key", b"value", written, when_ms)]) is Outcome.COMMITTED
    await comes_to_read(broker, TopicPartition(topic, 0), b"value")
    (record,) = await read_all(broker, TopicPartition(topic, 0))
    assert (record.topic(), record.partition(), record.offset()) == (topic, 0, 0)
    assert (record.key(), record.value()) == (b"key", b"value")
    assert record.headers() == written
    assert record.timestamp() == (CREATE_TIME, when_ms)


async def test_null_and_empty_are_not_the_same(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("w"))
    await broker.start()
    now_ms = bench.now_ms()
    sent = [Outgoing(topic, None, None, [], now_ms), Outgoing(topic, b"", b"", [], now_ms)]
    assert await transact(broker, sent) is Outcome.COMMITTED
    group_reader = bench.broker(bench.name("g"), topic)
    await group_reader.start()
    await start_reading(group_reader, [tp])
    null, empty = await take(group_reader, 2)
    assert (null.key(), null.value(), null.headers()) == (None, None, None)
    assert (empty.key(), empty.value()) == (b"", b"")


async def test_a_forwarded_record_keeps_key_value_headers_and_timestamp(bench: Bench) -> None:
    source, target = await bench.topic(), await bench.topic()
    tp = TopicPartition(source, 0)
    when_ms = bench.now_ms() - 60_000
    await bench.send([Outgoing(source, b"k", b"v", [("h", b"1")], when_ms, 0)])
    broker = bench.broker(bench.name("g"), source)
    await broker.start()
    await start_reading(broker, [tp])
    records = await take(broker, 1)
    await broker.begin()
    await broker.produce([], {target: records})
    assert await broker.commit({}, None) is Outcome.COMMITTED
    await comes_to_read(broker, TopicPartition(target, 0), b"v")
    (record,) = await read_all(broker, TopicPartition(target, 0))
    assert (record.key(), record.headers(), record.timestamp()) == (b"k", [("h", b"1")], (CREATE_TIME, when_ms))


async def test_headers_that_cannot_be_read_are_a_data_error_however_often_they_are_asked_for(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.send(lines(bench, topic, b"before"))
    await bench.send_garbled(topic, b"garbled")
    await bench.send(lines(bench, topic, b"after"))
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await start_reading(broker, [TopicPartition(topic, 0)])
    records = await take(broker, 3)
    for _ in range(2):
        sound, dead = headers.readable(records)
        assert (values(sound), values([one.record for one in dead])) == ([b"before", b"after"], [b"garbled"])
    for _ in range(2):
        with pytest.raises(DataError, match="bad-headers"):
            headers.get(records[1], headers.UID)
    assert records[1].headers() == [], "nor does one that looks for himself end the interpreter"


async def test_a_key_goes_to_the_partition_that_java_clients_choose(bench: Bench) -> None:
    topic = await bench.topic(partitions=8)
    broker = bench.broker(bench.name("w"))
    await broker.start()
    keys = [b"21", b"foobar", b"a-little-bit-long-string", b"a-little-bit-longer-string", b"abc", b"\x00" * 16]
    sent = [Outgoing(topic, key, key, [], bench.now_ms()) for key in keys]
    assert await transact(broker, sent) is Outcome.COMMITTED
    # (murmur2 & 0x7fffffff) % 8, of the hashes in org.apache.kafka.common.utils.UtilsTest.testMurmur2
    for key, partition in ((b"21", 4), (b"foobar", 6), (b"a-little-bit-long-string", 0), (b"abc", 3)):
        await end_reaches(broker, TopicPartition(topic, partition), 2)
        assert key in values(await read_all(broker, TopicPartition(topic, partition)))


async def test_a_topic_may_stamp_records_itself(bench: Bench) -> None:
    topic = await bench.topic(log_append_time=True)
    broker = bench.broker(bench.name("w"))
    await broker.start()
    before_ms = bench.now_ms()
    assert await transact(broker, [Outgoing(topic, None, b"x", [], 1_000, 0)]) is Outcome.COMMITTED
    await comes_to_read(broker, TopicPartition(topic, 0), b"x")
    (record,) = await read_all(broker, TopicPartition(topic, 0))
    kind, when_ms = record.timestamp()
    assert kind == LOG_APPEND_TIME
    assert before_ms - 1_000 <= when_ms <= bench.now_ms() + 1_000


async def test_a_read_begins_and_ends_where_it_is_told(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("w"))
    await broker.start()
    await bench.send(lines(bench, topic, b"0", b"1", b"2", b"3", b"4"))
    assert values(await broker.read(tp, 1, 4, 100)) == [b"1", b"2", b"3"]
    assert values(await broker.read(tp, 1, 4, 2)) == [b"1", b"2"]
    assert values(await broker.read(tp, 3, 4, 2)) == [b"3"]
    assert await broker.read(tp, 4, 4, 2) == []


async def test_deleted_records_are_gone_and_the_log_begins_behind_them(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("w"))
    await broker.start()
    await bench.send(lines(bench, topic, b"0", b"1", b"2"))
    assert await broker.begin_offsets([tp]) == {tp: 0}
    await broker.delete_records({tp: 2})
    assert await broker.begin_offsets([tp]) == {tp: 2}
    assert await end_of(broker, tp) == 3
    assert values(await broker.read(tp, 2, 3, 100)) == [b"2"]


async def test_deleting_past_the_end_is_refused(bench: Bench) -> None:
    topic = await bench.topic()
    broker = bench.broker(bench.name("w"))
    await broker.start()
    await bench.send(lines(bench, topic, b"0"))
    with pytest.raises(PenstockError, match=r"(?i)offset.out.of.range|out of range"):
        await broker.delete_records({TopicPartition(topic, 0): 5})


@pytest.mark.verdict("offset gone")
async def test_reading_from_an_offset_that_is_gone_is_an_error(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await bench.send(lines(bench, topic, b"0", b"1", b"2"))
    await broker.delete_records({tp: 2})
    await next_event(broker, Assigned)
    await broker.seek({tp: 0})
    await broker.resume([tp])
    with pytest.raises(SystemFaultError, match=r"offset"):
        await silence(broker, polls=50)


async def test_partitions_whose_first_records_are_gone_are_assigned_in_silence(bench: Bench) -> None:
    count = 8
    topic = await bench.topic(partitions=count)
    tps = [TopicPartition(topic, number) for number in range(count)]
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    for tp in tps:
        await bench.send(lines(bench, topic, b"0", b"1", b"2", partition=tp.partition))
    await broker.delete_records(dict.fromkeys(tps, 2))
    await next_event(broker, Assigned)
    await silence(broker)
    await broker.seek(dict.fromkeys(tps, 2))
    await broker.resume(tps)
    assert values(await take(broker, count)) == [b"2"] * count


@pytest.mark.verdict("topic made again")
async def test_a_topic_made_again_has_another_id(bench: Bench) -> None:
    topic = await bench.topic()
    broker = bench.broker(bench.name("w"))
    await broker.start()
    first = await broker.topic_id(topic)
    assert await broker.topic_id(topic) == first
    await bench.recreate(topic)
    assert await broker.topic_id(topic) != first


@pytest.mark.verdict("topic deleted")
async def test_a_topic_that_does_not_exist_has_no_id(bench: Bench) -> None:
    broker = bench.broker(bench.name("w"))
    await broker.start()
    with pytest.raises(SystemFaultError, match="does-not-exist"):
        await broker.topic_id(bench.name("does-not-exist"))


async def test_a_deleted_topic_takes_the_offsets_of_its_groups_along(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    group = bench.name("g")
    await bench.commit_offset(group, topic, 0, 3)
    await bench.recreate(topic)
    broker = bench.broker(group, topic)
    await broker.start()
    assert await committed(broker, tp) is None


async def test_a_topic_made_again_is_revoked_and_assigned_anew(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await bench.send(lines(bench, topic, b"0", b"1"))
    await start_reading(broker, [tp])
    await take(broker, 2)
    await bench.recreate(topic)
    for _ in range(150):
        try:
            event = await broker.poll(10, POLL_S)
        except SystemFaultError as error:
            assert "offset" in str(error)  # noqa: PT017  it may be gone before the group has heard why
            continue
        if isinstance(event, Revoked):
            assert event.partitions == {tp}
            event.ack()
            break
        assert isinstance(event, Polled) or is_quiet(event)
    else:
        pytest.fail("150 polls, and nothing was revoked")
    assert (await next_event(broker, Assigned)).partitions == {tp}
