"""Dedup's state through transactions, restores and rebalances; no broker needed."""

import random
from collections.abc import Sequence

import pytest

from penstock.errors import PermanentError
from penstock.stream.port import Outgoing
from services.dedup.state import SeenState, WindowSettings
from tests.unit.dedup.building import GRACE_MS, W_MS, Rec, as_read, new_dedup, new_state, raw


async def verdicts(state: SeenState, *records: Rec) -> list[str]:
    """Which of the records were unique (u), duplicate (d) or late (l), by offset."""
    output = await new_dedup(state).process(records)
    found = {record.offset(): "u" for record in output.forward.get("events.unique", ())}
    found |= {record.offset(): "l" for record in output.forward.get("events.late", ())}
    return [found.get(record.offset(), "d") for record in records]


async def test_a_restored_state_knows_what_the_old_one_knew() -> None:
    old, new = new_state(), new_state()
    await verdicts(old, raw(1, 5000, 0), raw(2, 5001, 1))
    first = old.checkpoint("id", {0: 3})
    old.committed()
    await verdicts(old, raw(3, 5002, 3))
    second = old.checkpoint("id", {0: 5})
    old.committed()
    new.restore(0, as_read([*first, *second]))
    assert new.restored(0) == ("id", 5)
    late = raw(9, 5002 - GRACE_MS - 1, 9)
    assert await verdicts(new, raw(1, 5003, 6), raw(3, 5003, 7), raw(4, 5003, 8), late) == ["d", "d", "u", "l"]


async def test_an_empty_changelog_restores_to_nothing() -> None:
    state = new_state()
    assert state.restored(0) is None
    assert await verdicts(state, raw(1, 5000, 0)) == ["u"]


async def test_every_partition_read_from_gets_a_record_even_if_nothing_was_new() -> None:
    state = new_state()
    await verdicts(state, raw(1, 5000, 0))
    state.checkpoint("id", {0: 1})
    state.committed()
    await verdicts(state, raw(1, 5000, 1))
    (record,) = as_read(state.checkpoint("id", {0: 2, 1: 7})[:1])
    assert record.value() == b""
    assert dict(record.headers() or ())["next-offset"] == b"2"
    assert {out.partition for out in state.checkpoint("id", {0: 2, 1: 7})} == {0, 1}


async def test_after_an_undo_the_same_records_are_decided_the_same() -> None:
    state = new_state()
    await verdicts(state, raw(1, 5000, 0))
    state.committed()
    batch = [raw(1, 5001, 1), raw(2, 9000, 2), raw(3, 9000, 3, partition=1), raw(2, 9001, 4)]
    once = await verdicts(state, *batch)
    state.undo()
    assert await verdicts(state, *batch) == once == ["d", "u", "u", "d"]


async def test_an_undo_leaves_nothing_for_the_changelog() -> None:
    state = new_state()
    await verdicts(state, raw(1, 5000, 0))
    state.undo()
    (record,) = as_read(state.checkpoint("id", {0: 0}))
    assert record.value() == b""
    assert dict(record.headers() or ())["watermark"] == b"-1"


async def test_a_dropped_partition_is_forgotten_and_the_others_are_not() -> None:
    state = new_state()
    await verdicts(state, raw(1, 5000, 0, partition=0), raw(2, 5000, 1, partition=1))
    state.committed()
    state.drop({0})
    assert await verdicts(state, raw(1, 5000, 2, partition=0), raw(2, 5000, 3, partition=1)) == ["u", "d"]


async def test_the_same_event_on_another_partition_is_another_window() -> None:
    assert await verdicts(new_state(), raw(1, 5000, 0, partition=0), raw(1, 5000, 1, partition=1)) == ["u", "u"]


async def test_a_changelog_of_two_input_topics_stops_with_an_explanation() -> None:
    state = new_state()
    written = [*new_state().checkpoint("old", {0: 3}), *new_state().checkpoint("new", {0: 1})]
    with pytest.raises(PermanentError, match="deleted and made again"):
        state.restore(0, as_read(written))


async def test_a_restart_with_another_fingerprint_version_stops_with_an_explanation() -> None:
    written = new_state().checkpoint("id", {0: 3})
    newer = new_state(WindowSettings(W_MS, GRACE_MS, fingerprint_version=2))
    with pytest.raises(PermanentError, match="fingerprint version 1, this dedup has version 2"):
        newer.restore(0, as_read(written))


async def test_changelog_records_are_given_up_once_no_window_needs_them() -> None:
    state = new_state()

    async def transaction(number: int, timestamp_ms: int) -> None:
        await verdicts(state, raw(number, timestamp_ms, number))
        state.checkpoint("id", {0: number + 1})
        state.committed()

    await transaction(0, 5000)
    assert state.expired({0: 10}) == {}
    await transaction(1, 5000 + W_MS + GRACE_MS - 1)
    assert state.expired({0: 20}) == {}, "the first entry can still matter"
    await transaction(2, 5000 + W_MS + GRACE_MS)
    assert state.expired({0: 30}) == {0: 10}
    assert state.expired({0: 30}) == {}
    assert state.expired({}) == {}


async def test_a_restored_state_gives_up_old_records_too() -> None:
    old, new = new_state(), new_state()
    written: list[Outgoing] = []
    for number, timestamp_ms in enumerate([5000, 5500, 5500 + W_MS + GRACE_MS]):
        await verdicts(old, raw(number, timestamp_ms, number))
        written += old.checkpoint("id", {0: number + 1})
        old.committed()
    new.restore(0, as_read(written))  # at offsets 0, 2 and 4
    new.restored(0)
    assert new.expired({0: 6}) == {0: 3}


async def test_any_history_of_crashes_ends_as_if_there_had_been_none() -> None:
    """Transactions that commit, abort and die at random, each death followed by a restore of what was committed."""
    for seed in range(8):
        choice = random.Random(seed)
        flow = [raw(choice.randrange(40), 5000 + i * 15 - choice.randrange(150), i) for i in range(300)]
        undisturbed = await verdicts(new_state(), *flow)
        assert await crashing(choice, flow) == undisturbed, f"seed {seed}"


async def crashing(choice: random.Random, flow: Sequence[Rec]) -> list[str]:
    state, at, decided, committed = new_state(), 0, list[str](), list[Outgoing]()
    while at < len(flow):
        end = min(len(flow), at + choice.randrange(1, 30))
        middle = choice.randrange(at, end)
        found = [
            *(await verdicts(state, *flow[at:middle]) if middle > at else []),
            *await verdicts(state, *flow[middle:end]),
        ]
        written = state.checkpoint("id", {0: end})
        match choice.choice(["commit", "commit", "abort", "die", "die after the commit"]):
            case "commit":
                state.committed()
                at, decided, committed = end, decided + found, [*committed, *written]
            case "abort":
                state.undo()
            case "die after the commit":
                at, decided, committed = end, decided + found, [*committed, *written]
                state = restored(committed, at)
            case _:
                state = restored(committed, at)
    return decided


def restored(committed: Sequence[Outgoing], at: int) -> SeenState:
    state = new_state()
    for record in as_read(committed):
        state.restore(0, [record])
    assert state.restored(0) == (("id", at) if committed else None)
    return state
