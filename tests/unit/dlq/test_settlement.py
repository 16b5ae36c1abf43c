"""Dead letters go back to their stage or are thrown away, each once, whatever becomes of the command."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from penstock.dlq.settlement import TRANSACTIONAL_ID, TakenOverError
from penstock.dlq.summary import Summary
from penstock.errors import PermanentError, TransientError
from penstock.ledger.audit import Command
from penstock.ledger.dead import Wanted
from penstock.ledger.tally import Tally, hash_of_uid
from penstock.stream.port import Membership, Outcome, TopicPartition
from penstock.testing import MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.dlq.world import AUDIT, DEAD, ENRICHED, RETRY, World, encode, key_of, uid_of

DEAD_0 = TopicPartition(DEAD, 0)
MANY = 1100
"""Letters of three transactions."""


@pytest.fixture
def world() -> World:
    return World()


def dying(world: World, *numbers: int) -> None:
    """These come in and die."""
    world.unreadable.update(b"%d" % number for number in numbers)
    world.take_in(*numbers)
    world.enrich()


def test_a_letter_that_can_be_read_by_now_goes_through_as_if_it_had_never_been_away(world: World) -> None:
    dying(world, 1)
    ingested_ms = world.letters()[0]["timestamp"]
    world.unreadable.clear()
    world.run(Command.RETRY)
    (sent_back,) = world.records(RETRY)
    assert sent_back.key() == key_of(1)
    assert sent_back.timestamp()[1] > ingested_ms, "else a topic that keeps seven days might drop it at once"
    world.enrich()
    (enriched,) = world.records(ENRICHED)
    assert (enriched.key(), enriched.value(), enriched.timestamp()[1]) == (key_of(1), b"1", ingested_ms)
    assert enriched.headers() == [("uid", uid_of(1)), ("source", b"github"), ("own", None)]
    assert len(world.letters()) == 1


def test_a_letter_that_dies_again_is_a_new_one_and_the_count_ends_the_loop(world: World) -> None:
    dying(world, 1)
    for attempts in (1, 2):
        assert world.run(Command.RETRY, max_attempts=3).count == 1
        world.enrich()
        assert [letter["attempts"] for letter in world.letters()] == list(range(1, attempts + 2))
    last = world.run(Command.RETRY, max_attempts=3)
    assert (last.count, last.before) == (0, 2)
    assert {reason: refused.letters for reason, refused in last.refused.items()} == {
        "too-many-attempts": [f"enrich/0/{world.records(DEAD)[-1].offset()}"]
    }
    assert {letter["uid"] for letter in world.letters()} == {uid_of(1)}
    assert {letter["timestamp"] for letter in world.letters()} == {world.letters()[0]["timestamp"]}
    assert len(world.records(RETRY)) == 2


def test_the_command_run_again_sends_nothing_twice(world: World) -> None:
    dying(world, 1, 2, 3)
    assert world.run(Command.RETRY).count == 3
    again = world.run(Command.RETRY)
    assert (again.count, again.before) == (0, 3)
    assert world.numbers(RETRY) == [1, 2, 3]


def test_two_letters_of_one_original_go_back_once(world: World) -> None:
    dying(world, 1)
    (letter,) = world.records(DEAD)
    world.cluster.send([outgoing(DEAD, letter.value())])
    assert world.run(Command.RETRY).count == 1
    assert world.run(Command.RETRY).before == 2
    assert world.numbers(RETRY) == [1]


def test_who_did_what_is_written_down_with_counts_and_sums_per_source(world: World) -> None:
    dying(world, 1, 2)
    world.run(Command.RETRY, Wanted(sources=["github"]))
    (action,) = world.actions()
    assert (action.command, action.who, action.run, action.stage) == (Command.RETRY, "me@here", "run-1", "enrich")
    assert action.tallies == {"github": Tally(2, sum(hash_of_uid(uid_of(n)) for n in (1, 2)) % 2**128)}
    assert [letter.offset for letter in action.letters] == [record.offset() for record in world.records(DEAD)]


def test_a_survey_writes_nothing(world: World) -> None:
    dying(world, 1, 2)
    order = world.order(Command.RETRY, Wanted())
    survey = run_in_virtual_time(world.settlement().survey(order, lambda *_: None))
    assert survey.settled["enrich"]["github"].count == 2
    assert (world.records(RETRY), world.records(AUDIT)) == ([], [])


def test_only_what_is_wanted_goes_back(world: World) -> None:
    dying(world, *range(5))
    offsets = [record.offset() for record in world.records(DEAD)]
    named = world.run(Command.RETRY, Wanted(ids=[f"enrich/0/{offsets[2]}", "enrich/0/999999", "enrich/7/0"]))
    assert named.names == {f"enrich/0/{offsets[2]}"}
    assert world.numbers(RETRY) == [2]
    assert world.run(Command.RETRY, Wanted(stages=["sentiment"])).count == 0
    assert world.run(Command.RETRY, Wanted(reasons=["bad-magic"])).count == 0
    assert world.run(Command.RETRY, Wanted(categories=["data"], reasons=["unknown-schema"])).count == 4


def test_letters_that_come_after_the_survey_are_left_for_the_next_run(world: World) -> None:
    dying(world, 1)
    settlement, order, summary = world.settlement(), world.order(Command.PURGE, Wanted()), Summary()
    run_in_virtual_time(settlement.survey(order, lambda *_: None))
    dying(world, 2)
    run_in_virtual_time(settlement.carry_out(order, summary, lambda *_: None))
    assert summary.count == 1


def test_letters_of_ingest_go_to_the_inbox(world: World) -> None:
    letter = {
        "stage": "ingest", "topic": "events.inbox", "topic_id": "an-id", "partition": 0, "offset": 7, "timestamp": 5,
        "key": b"any".hex(), "value": b"8".hex(), "value_size": None, "headers": [], "category": "data",
        "reason": "truncated", "detail": "", "field": None, "attempts": 2, "uid": None, "source": None, "failed_at": 6,
    }  # fmt: skip
    world.cluster.send([outgoing("dlq.ingest", encode(letter))])
    assert world.run(Command.RETRY).settled == {"ingest": {"unknown": world.actions()[0].tallies["unknown"]}}
    (sent_back,) = world.records("events.inbox")
    assert (sent_back.key(), sent_back.value(), sent_back.headers()) == (b"any", b"8", [("retry-count", b"2")])


# -- a command that is killed, overtaken, or left without an answer --------------------------------------------------


class Faulty(MemoryBroker):
    """A broker to which something happens at the nth commit."""

    def __init__(self, world: World, nth: int, fault: Callable[["Faulty"], Awaitable[Outcome | None]]) -> None:
        super().__init__(world.cluster, transactional_id=TRANSACTIONAL_ID)
        self._left, self._fault = nth, fault

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        self._left -= 1
        if self._left <= 0 and (outcome := await self._fault(self)) is not None:
            return outcome
        return await super().commit(offsets, membership)


class Killed(BaseException):
    """kill -9: nothing more is done, and what is open stays open."""


async def kill(_: Faulty) -> Outcome | None:
    raise Killed


def many(world: World) -> list[int]:
    numbers = list(range(MANY))
    dying(world, *numbers)
    return numbers


def sound(world: World, numbers: list[int]) -> bool:
    """Whether every letter was sent back once, and the audit says so."""
    audited = sorted(letter.uid for action in world.actions() for letter in action.letters if letter.uid)
    return world.numbers(RETRY) == numbers and audited == [uid_of(number) for number in numbers]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_command_killed_before_a_commit_and_run_again_loses_and_doubles_nothing(world: World, nth: int) -> None:
    numbers = many(world)

    async def story() -> None:
        with pytest.raises(Killed):
            await world.settle(Command.RETRY, broker=Faulty(world, nth, kill))
        again = await world.settle(Command.RETRY)
        assert (again.before, again.count) == (500 * (nth - 1), MANY - 500 * (nth - 1))

    run_in_virtual_time(story())
    assert sound(world, numbers)


def test_a_command_killed_after_a_commit_and_run_again_loses_and_doubles_nothing(world: World) -> None:
    numbers = many(world)

    async def commit_and_die(broker: Faulty) -> Outcome | None:
        await MemoryBroker.commit(broker, {}, None)
        raise Killed

    async def story() -> None:
        with pytest.raises(Killed):
            await world.settle(Command.RETRY, broker=Faulty(world, 1, commit_and_die))
        await world.settle(Command.RETRY)

    run_in_virtual_time(story())
    assert sound(world, numbers)


@pytest.mark.parametrize("nth", [1, 2])
def test_of_two_commands_at_once_the_later_ends_the_earlier_and_each_letter_goes_back_once(
    world: World, nth: int
) -> None:
    numbers = many(world)

    async def overtake(_: Faulty) -> Outcome | None:
        await world.settle(Command.RETRY)
        return None

    async def story() -> None:
        with pytest.raises(TakenOverError, match="another `penstock dlq` command has begun"):
            await world.settle(Command.RETRY, broker=Faulty(world, nth, overtake))

    run_in_virtual_time(story())
    assert sound(world, numbers)


def test_a_command_that_waited_for_its_answer_does_not_repeat_what_another_did_meanwhile(world: World) -> None:
    dying(world, 1, 2)

    async def story() -> Summary:
        slow, order, summary = world.settlement(), world.order(Command.RETRY, Wanted()), Summary()
        assert (await slow.survey(order, lambda *_: None)).count == 2
        await world.settle(Command.RETRY)
        await slow.carry_out(order, summary, lambda *_: None)
        return summary

    assert run_in_virtual_time(story()).before == 2
    assert sound(world, [1, 2])


def test_what_another_command_did_just_before_it_was_ended_is_not_repeated(world: World) -> None:
    dying(world, 1, 2)

    class Slow(MemoryBroker):
        async def renew(self) -> None:
            await world.settle(Command.RETRY)
            await super().renew()

    async def story() -> Summary:
        broker = Slow(world.cluster, transactional_id=TRANSACTIONAL_ID)
        settlement, order, summary = world.settlement(broker), world.order(Command.RETRY, Wanted()), Summary()
        await settlement.survey(order, lambda *_: None)
        await settlement.carry_out(order, summary, lambda *_: None)
        return summary

    assert run_in_virtual_time(story()).before == 2
    assert sound(world, [1, 2])


def test_a_commit_without_an_answer_is_asked_again(world: World) -> None:
    dying(world, 1)
    answers = [Outcome.UNKNOWN, Outcome.UNKNOWN, None]

    async def hesitate(_: Faulty) -> Outcome | None:
        return answers.pop(0)

    assert run_in_virtual_time(world.settle(Command.RETRY, broker=Faulty(world, 1, hesitate))).count == 1
    assert sound(world, [1])


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_that_never_answers_is_told_and_the_next_run_knows_how_it_ended(
    world: World, *, committed: bool
) -> None:
    dying(world, 1)

    async def silent(broker: Faulty) -> Outcome | None:
        if committed and broker.in_transaction:
            await MemoryBroker.commit(broker, {}, None)
        return Outcome.UNKNOWN

    async def story() -> None:
        with pytest.raises(TransientError, match="is unknown; run the command again"):
            await world.settle(Command.RETRY, broker=Faulty(world, 1, silent))
        assert (await world.settle(Command.RETRY)).before == committed

    run_in_virtual_time(story())
    assert sound(world, [1])


def test_what_the_broker_rolls_back_is_told(world: World) -> None:
    dying(world, 1)

    async def roll_back(broker: Faulty) -> Outcome | None:
        return await broker.abort()

    async def story() -> None:
        with pytest.raises(TransientError, match="rolled back"):
            await world.settle(Command.RETRY, broker=Faulty(world, 1, roll_back))

    run_in_virtual_time(story())
    assert world.run(Command.RETRY).count == 1


def test_an_audit_that_cannot_be_read_stops_the_command_before_it_writes(world: World) -> None:
    dying(world, 1)
    world.cluster.send([outgoing(AUDIT, b"garbage")])
    with pytest.raises(PermanentError, match=r"dlq\.audit\[0\] at offset 0 cannot be read"):
        world.run(Command.RETRY)
    assert world.records(RETRY) == []


# -- purge -----------------------------------------------------------------------------------------------------------


def begin(world: World) -> int:
    return world.cluster.log(DEAD_0).start


def test_a_purge_writes_down_whom_it_throws_away_and_deletes_the_bytes(world: World) -> None:
    dying(world, 1, 2)
    done = world.run(Command.PURGE)
    assert done.settled["enrich"]["github"] == Tally(2, sum(hash_of_uid(uid_of(n)) for n in (1, 2)) % 2**128)
    assert (world.records(DEAD), world.records(RETRY)) == ([], [])
    assert done.deleted == {DEAD_0: begin(world)}
    assert [letter.uid for letter in world.actions()[0].letters] == [uid_of(1), uid_of(2)]


def test_a_purge_deletes_no_byte_behind_a_letter_that_rests(world: World) -> None:
    dying(world, 1, 2, 3)
    first, second, third = (record.offset() for record in world.records(DEAD))
    assert world.run(Command.PURGE, Wanted(ids=[f"enrich/0/{first}", f"enrich/0/{third}"])).deleted == {DEAD_0: second}
    assert [letter["value"] for letter in world.letters()] == [b"2", b"3"]
    assert world.run(Command.RETRY).before == 1, "the third is thrown away, though its bytes are still there"
    assert world.numbers(RETRY) == [2]
    world.run(Command.PURGE)
    assert world.letters() == [], "what was sent back is in its way no more"


def test_a_purge_leaves_what_it_cannot_read(world: World) -> None:
    world.cluster.send([outgoing(DEAD, b"garbage")])
    dying(world, 1)
    done = world.run(Command.PURGE)
    assert (done.count, done.unreadable, done.deleted, begin(world)) == (1, 1, {}, 0)


def test_a_purge_stopped_before_it_deleted_is_finished_by_the_next(world: World) -> None:
    dying(world, 1)

    async def commit_and_die(broker: Faulty) -> Outcome | None:
        await MemoryBroker.commit(broker, {}, None)
        raise Killed

    async def story() -> None:
        with pytest.raises(Killed):
            await world.settle(Command.PURGE, broker=Faulty(world, 1, commit_and_die))

    run_in_virtual_time(story())
    assert begin(world) == 0
    again = world.run(Command.PURGE)
    assert (again.count, again.before) == (0, 1)
    assert world.letters() == []
