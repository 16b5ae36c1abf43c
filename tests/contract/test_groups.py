"""What the port promises about groups: who is given what, who may commit, and what a lost partition costs."""

import asyncio
from collections.abc import Collection, Sequence

import pytest

from penstock.errors import SystemFaultError
from penstock.stream.port import Assigned, Broker, Lost, Outcome, Polled, Record, Revoked, TopicPartition
from tests.contract.bench import Bench
from tests.contract.steps import (
    PATIENCE_S,
    POLL_S,
    E,
    committed,
    is_quiet,
    lines,
    next_event,
    silence,
    start_reading,
    take,
    take_with_membership,
    transact,
    values,
)

HOT_RECORDS = 60_000
POLLS_BEFORE = 3_000


async def two_partitions(bench: Bench) -> tuple[str, set[TopicPartition]]:
    topic = await bench.topic(partitions=2)
    return topic, {TopicPartition(topic, 0), TopicPartition(topic, 1)}


def impatient(bench: Bench, group: str, topic: str) -> Broker:
    """Thrown out of its group when it has not polled for five seconds."""
    return bench.broker(group, topic, transaction_timeout_s=4.0, max_poll_interval_s=5.0)


async def test_a_single_member_gets_all_partitions(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    assert (await next_event(broker, Assigned)).partitions == both


async def test_assigned_partitions_are_paused_and_without_a_position(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    await bench.send([*lines(bench, topic, b"a"), *lines(bench, topic, b"b", partition=1)])
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    assigned = await next_event(broker, Assigned)
    await silence(broker)
    assert await broker.positions(both) == {}
    await broker.seek(dict.fromkeys(assigned.partitions, 0))
    await broker.resume(assigned.partitions)
    assert sorted(values(await take(broker, 2))) == [b"a", b"b"]  # type: ignore[type-var]  # no tombstones here


async def test_a_paused_partition_is_silent_until_it_is_resumed(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await start_reading(broker, [tp])
    await broker.pause([tp])
    await bench.send(lines(bench, topic, b"a"))
    await silence(broker)
    await broker.resume([tp])
    assert values(await take(broker, 1)) == [b"a"]


async def test_a_seek_goes_back(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    await bench.send(lines(bench, topic, b"a", b"b", b"c"))
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await start_reading(broker, [tp])
    assert values(await take(broker, 3)) == [b"a", b"b", b"c"]
    await broker.seek({tp: 1})
    assert values(await take(broker, 2)) == [b"b", b"c"]
    assert await broker.positions([tp]) == {tp: 3}


async def test_a_poll_returns_no_more_than_asked_for_and_the_position_follows(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    await bench.send(lines(bench, topic, b"a", b"b", b"c"))
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await start_reading(broker, [tp])
    assert values(await take(broker, 2, max_records=2)) == [b"a", b"b"]
    assert await broker.positions([tp]) == {tp: 2}


async def test_a_poll_tells_the_end_it_has_read_to(bench: Bench) -> None:
    topic = await bench.topic()
    tp = TopicPartition(topic, 0)
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    assert await transact(broker, lines(bench, topic, b"a")) is Outcome.COMMITTED
    await start_reading(broker, [tp])
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await broker.poll(100, POLL_S)
            if isinstance(event, Polled) and event.ends.get(tp) == 2:
                return


async def test_a_newcomer_gets_its_share_only_after_the_ack(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    await second.start()
    revoked = await revoke_by(first, second)
    (moved,) = revoked.partitions
    for _ in range(10):
        event = await second.poll(100, POLL_S)
        assert is_quiet(event), f"{event} before the ack"
    revoked.ack()
    assert (await next_event_with(first, second, Assigned)).partitions == {moved}


async def test_a_commit_between_revocation_and_ack_is_accepted(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    for tp in both:
        await bench.commit_offset(group, topic, tp.partition, 0)
        await bench.send(lines(bench, topic, b"a", partition=tp.partition))
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    _, membership = await take_with_membership(first, 2)
    await first.begin()
    await first.produce(lines(bench, await bench.topic(), b"out"), {})
    await second.start()
    revoked = await revoke_by(first, second)
    assert await first.commit(dict.fromkeys(both, 1), membership) is Outcome.COMMITTED
    revoked.ack()
    (moved,) = (await next_event_with(first, second, Assigned)).partitions
    assert await committed(second, moved) == 1


async def test_a_member_that_closes_gives_its_partitions_up(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    await second.start()
    (await revoke_by(first, second)).ack()
    await next_event_with(first, second, Assigned)
    await first.close()
    assert len((await next_event(second, Assigned)).partitions) == 1


@pytest.mark.verdict("thrown out of the group")
async def test_a_member_that_does_not_poll_is_thrown_out_and_told_so(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    first = impatient(bench, group, topic)
    second = bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    await second.start()
    await start_reading(second, both)
    await is_told_of_its_loss(first, both)


async def test_an_unacked_revocation_keeps_the_partition_until_the_poll_interval_is_over(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    first = impatient(bench, group, topic)
    second = bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    await second.start()
    revoked = await revoke_by(first, second)
    await start_reading(second, both)
    revoked.ack()
    await is_told_of_its_loss(first, both - revoked.partitions)


@pytest.mark.verdict("unknown member")
async def test_a_stale_membership_cannot_commit(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    for tp in both:
        await bench.commit_offset(group, topic, tp.partition, 5)
        await bench.send(lines(bench, topic, b"a", partition=tp.partition))
    zombie = impatient(bench, group, topic)
    heir = bench.broker(group, topic)
    await zombie.start()
    await start_reading(zombie, both)
    _, membership = await take_with_membership(zombie, 2)
    await heir.start()
    await start_reading(heir, both)
    refused = await transact(zombie, [], dict.fromkeys(both, 1), membership)
    assert refused in (Outcome.ABORTED, Outcome.FENCED)
    for tp in both:
        assert await committed(heir, tp) == 5


async def test_a_current_member_may_commit_what_it_does_not_own_any_more(bench: Bench) -> None:
    """The danger that the loop guards against: the group does not ask who owns a partition."""
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    for tp in both:
        await bench.commit_offset(group, topic, tp.partition, 5)
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    await second.start()
    revoked = await revoke_by(first, second)
    (moved,) = revoked.partitions
    revoked.ack()
    await next_event_with(first, second, Assigned)
    async with asyncio.timeout(PATIENCE_S):
        outcome = Outcome.ABORTED
        while outcome is Outcome.ABORTED:  # until a heartbeat has told it which epoch it is in by now
            while not isinstance(fresh := await first.poll(100, POLL_S), Polled):
                assert is_quiet(fresh)
            outcome = await transact(first, [], {moved: 2}, fresh.membership)
    assert outcome is Outcome.COMMITTED
    assert await committed(second, moved) == 2


async def test_a_membership_from_before_a_rebalance_commits_only_what_was_kept(bench: Bench) -> None:
    """Measured on Kafka 4.3.1 (KIP-1251): so a rebalance costs an unaffected member no batch."""
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    for tp in both:
        await bench.commit_offset(group, topic, tp.partition, 0)
        await bench.send(lines(bench, topic, b"a", partition=tp.partition))
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    _, captured = await take_with_membership(first, 2)
    await second.start()
    revoked = await revoke_by(first, second)
    (moved,), (kept,) = revoked.partitions, both - revoked.partitions
    revoked.ack()
    await next_event_with(first, second, Assigned)
    assert await transact(first, [], {kept: 1}, captured) is Outcome.COMMITTED
    assert await transact(first, [], {moved: 1}, captured) is Outcome.ABORTED
    assert await transact(first, [], {kept: 9, moved: 9}, captured) is Outcome.ABORTED
    assert await committed(second, kept) == 1
    assert await committed(second, moved) == 0


async def test_a_membership_from_before_a_partition_was_lost_and_won_back_cannot_commit_it(bench: Bench) -> None:
    topic, both = await two_partitions(bench)
    group = bench.name("g")
    for tp in both:
        await bench.commit_offset(group, topic, tp.partition, 0)
        await bench.send(lines(bench, topic, b"a", partition=tp.partition))
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    _, captured = await take_with_membership(first, 2)
    await second.start()
    revoked = await revoke_by(first, second)
    (moved,) = revoked.partitions
    revoked.ack()
    await next_event_with(first, second, Assigned)
    await second.close()
    assert (await next_event(first, Assigned)).partitions == {moved}
    assert await transact(first, [], {moved: 1}, captured) is Outcome.ABORTED
    assert await committed(first, moved) == 0


async def is_told_of_its_loss(broker: Broker, partitions: Collection[TopicPartition]) -> None:
    """By events that name them all, or, whichever comes first, by an error that says why."""
    try:
        told: object = await gone_from(broker)
    except SystemFaultError as error:
        told = str(error)
    assert told == partitions or "max.poll.interval" in str(told)


async def gone_from(broker: Broker) -> set[TopicPartition]:
    """All that a member which was thrown out is told of: what it was already asked to revoke, then what is lost."""
    gone: set[TopicPartition] = set()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await broker.poll(100, POLL_S)
            if isinstance(event, Revoked):
                gone |= event.partitions
                event.ack()
            elif isinstance(event, Lost):
                return gone | event.partitions
            else:
                assert is_quiet(event), f"waiting for the loss, got {event}"


async def revoke_by(first: Broker, second: Broker) -> Revoked:
    """Polls both until the first has to give something up for the second."""
    return await next_event_with(second, first, Revoked)


async def next_event_with(idle: Broker, broker: Broker, kind: type[E]) -> E:
    """The next event of one broker, while another one is polled too."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await broker.poll(100, POLL_S)
            if isinstance(event, kind) and event.partitions:
                return event
            assert is_quiet(event), f"waiting for {kind.__name__}, got {event}"
            other = await idle.poll(100, 0.0)
            assert is_quiet(other), f"the other one got {other}"


async def test_positions_at_a_revocation_count_only_what_polls_have_returned(bench: Bench) -> None:
    """What was fetched and not handed over yet may be committed by nobody: the revocation overtakes it."""
    topic, both = await two_partitions(bench)
    for tp in both:
        await bench.send(lines(bench, topic, *[b"%d" % number for number in range(300)], partition=tp.partition))
    group = bench.name("g")
    first, second = bench.broker(group, topic), bench.broker(group, topic)
    await first.start()
    await start_reading(first, both)
    returned = dict.fromkeys(both, 0)
    _note(returned, await take(first, 1, max_records=1))
    await second.start()
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(25):  # while the first one does not poll, it hears of the newcomer in the background
            assert is_quiet(await second.poll(100, POLL_S))
        while not isinstance(event := await first.poll(5000, POLL_S), Revoked):
            assert isinstance(event, Polled), event
            _note(returned, event.records)
    positions = await first.positions(both)
    event.ack()
    assert {tp: positions.get(tp, 0) for tp in both} == returned


def _note(returned: dict[TopicPartition, int], records: Sequence[Record]) -> None:
    for record in records:
        returned[TopicPartition(record.topic(), record.partition())] = record.offset() + 1


async def test_a_hot_partition_does_not_keep_the_others_waiting(bench: Bench) -> None:
    """What the client fetches ahead stands in one line, first come first served: that line has to be short."""
    topic, (hot, cold) = await bench.topic(partitions=2), range(2)
    await bench.send(lines(bench, topic, *[b"x" * 500] * HOT_RECORDS, partition=hot))
    broker = bench.broker(bench.name("g"), topic)
    await broker.start()
    await start_reading(broker, {TopicPartition(topic, hot), TopicPartition(topic, cold)})
    await take(broker, POLLS_BEFORE, max_records=1)  # one by one, which gives the client time to fetch all it wants to
    await bench.send(lines(bench, topic, b"at last", partition=cold))
    waited_behind = 0
    while cold not in (of := [record.partition() for record in await take_some(broker)]):
        waited_behind += len(of)
    assert waited_behind < (HOT_RECORDS - POLLS_BEFORE) / 2
    assert await take_some(broker), "there is more of the hot one"


async def take_some(broker: Broker) -> Sequence[Record]:
    """Polls until records come."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await broker.poll(500, POLL_S)
            if isinstance(event, Polled) and event.records:
                return event.records
            assert is_quiet(event), f"waiting for records, got {event}"
