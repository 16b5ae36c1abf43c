"""The dead-letter valve: when a stage stops, what it says, and that it stops after the commit."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Category, DataError, PermanentError, classify
from penstock.stream.handler import Dead
from penstock.stream.port import Outcome
from penstock.stream.settings import LoopSettings
from penstock.stream.valve import Valve, ValveSettings
from penstock.testing import run_in_virtual_time
from penstock.testing.builders import outgoing, record
from tests.unit.stream.loops import (
    BAD,
    DEAD,
    GROUP,
    IN,
    OUT,
    REFUSED,
    STAGE,
    PassOn,
    Shelf,
    cluster,
    ending,
    loop_of,
    running,
    sink_loop_of,
)

HALF = ValveSettings(share=0.5, window_s=60.0, least_records=10)


def dead(count: int, reason: str = "bad-magic", *, retried: bool = False) -> list[Dead]:
    headers = [("retry-count", b"1")] if retried else []
    return [Dead(record(headers=headers), DataError(reason, "as planned"))] * count


def valve_after(*batches: tuple[float, int, Sequence[Dead]], settings: ValveSettings = HALF) -> Valve:
    """Each batch: when it is committed, how many records it has, which of them are dead."""
    valve = Valve("enrich", settings)
    for now_s, records, letters in batches:
        valve.took(records, letters)
        valve.committed(now_s)
    return valve


def test_it_stays_open_up_to_the_share_and_shuts_beyond_it() -> None:
    assert valve_after((0, 100, dead(50))).shut is None
    assert valve_after((0, 100, dead(51))).shut is not None


def test_a_few_records_are_no_share() -> None:
    assert valve_after((0, 9, dead(9))).shut is None
    assert valve_after((0, 9, dead(9)), (1, 1, dead(1))).shut is not None


def test_what_left_the_window_does_not_count() -> None:
    assert valve_after((0, 100, []), (59, 60, dead(60))).shut is None
    assert valve_after((0, 100, []), (61.5, 60, dead(60))).shut is not None
    assert valve_after((0, 9, dead(9)), (61.5, 9, dead(9))).shut is None


def test_what_was_undone_comes_again_and_counts_once() -> None:
    valve = Valve("enrich", HALF)
    for _ in range(5):
        valve.took(9, dead(9))
        valve.undone()
    valve.committed(0.0)
    assert valve.shut is None


def test_nothing_counts_before_its_commit() -> None:
    valve = Valve("enrich", HALF)
    valve.took(100, dead(100))
    assert valve.shut is None


def test_dead_letters_that_were_given_back_count_neither_way() -> None:
    assert valve_after((0, 1000, dead(1000, retried=True))).shut is None
    assert valve_after((0, 1000, [*dead(900, retried=True), *dead(51)])).shut is not None


def test_what_a_store_refused_later_counts_against_the_records_it_came_with() -> None:
    assert valve_after((0, 100, []), (1, 0, dead(50))).shut is None
    assert valve_after((0, 100, []), (1, 0, dead(51))).shut is not None


def test_a_share_of_one_never_shuts() -> None:
    assert valve_after((0, 1000, dead(1000)), settings=ValveSettings(share=1.0, least_records=10)).shut is None


def test_it_says_what_share_of_what_for_which_reasons_and_what_to_do() -> None:
    letters = [*dead(700, "unknown-schema"), *dead(100, "too-large")]
    text = str(valve_after((0, 1000, letters), settings=ValveSettings(setting="PENSTOCK_X")).shut)
    assert text.startswith(
        "the dead-letter valve stops enrich: 800 of the last 1,000 records became dead letters (80.0%, within 60 s; "
        "50% is allowed). Reasons: 700 unknown-schema, 100 too-large. Nothing is lost"
    )
    assert "dlq.enrich" in text
    assert "PENSTOCK_X=1" in text


batches = st.lists(
    st.tuples(st.floats(0, 30), st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=60
)  # seconds since the one before, records, share of dead ones


@given(batches)
def test_it_shuts_just_when_more_than_the_share_of_enough_records_are_dead(
    story: list[tuple[float, int, float]],
) -> None:
    settings = ValveSettings(share=0.3, window_s=60.0, least_records=20)
    valve, now_s, seen = Valve("enrich", settings), 0.0, list[tuple[float, int, int]]()
    for gap_s, records, share in story:
        now_s += gap_s
        letters = int(records * share)
        seen.append((now_s, records, letters))
        valve.took(records, dead(letters))
        valve.committed(now_s)
        # A slice of a second leaves at once, with its first record: between these two the valve may decide.
        shares = [[(r, d) for at, r, d in seen if now_s - at <= 60.0 - margin_s] for margin_s in (0.0, 1.0)]
        verdicts = {
            sum(r for r, _ in kept) >= 20 and sum(d for _, d in kept) > 0.3 * sum(r for r, _ in kept) for kept in shares
        }
        if len(verdicts) == 1:
            assert (valve.shut is not None) is verdicts.pop()
        if valve.shut is not None:
            return


# -- in the loops --------------------------------------------------------------------------------------------------

TIGHT = LoopSettings(STAGE, max_records=7, valve=HALF)


def test_a_stage_stops_after_the_commit_and_its_successor_goes_on_there() -> None:
    async def story() -> None:
        on = cluster()
        sent = [BAD] * 21 + [b"%d" % number for number in range(40)]
        on.send([outgoing(IN, value) for value in sent])
        with pytest.raises(PermanentError, match="dead-letter valve stops stage") as stopped:
            await running(loop_of(on, PassOn(takes_s=0.2), TIGHT), until=lambda: False)
        assert classify(stopped.value) is Category.PERMANENT
        assert not on.is_drained(GROUP, IN), "it did not go on to the end"
        (committed,) = on.committed(GROUP).values()
        assert len(on.records(DEAD)) + len(on.records(OUT)) == committed > 0
        await running(loop_of(on, PassOn()), until=lambda: on.is_drained(GROUP, IN))
        assert [one.value() for one in on.records(OUT)] == sent[21:]
        assert len(on.records(DEAD)) == 21

    run_in_virtual_time(story())


@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.FENCED])
def test_what_a_stage_has_to_take_again_counts_once(outcome: Outcome) -> None:
    async def story() -> None:
        on = cluster()
        on.send([outgoing(IN, BAD)] * 9)
        await running(loop_of(on, PassOn(), TIGHT, ending(on, *[outcome] * 3)), until=lambda: on.is_drained(GROUP, IN))
        assert len(on.records(DEAD)) == 9

    run_in_virtual_time(story())


def test_a_sink_stops_once_what_it_took_is_stored_and_its_successor_goes_on_there() -> None:
    async def story() -> None:
        on, shelf = cluster(), Shelf()
        sent = [b"first", *[BAD] * 21, *[b"%d" % number for number in range(40)]]
        on.send([outgoing(IN, value) for value in sent])
        with pytest.raises(PermanentError, match="dead-letter valve stops stage"):
            await running(sink_loop_of(on, shelf, TIGHT), until=lambda: False)
        (stands_at,) = shelf.next.values()
        assert stands_at < len(sent), "it did not go on to the end"
        assert len(shelf.stored) + len(on.records(DEAD)) == stands_at
        assert list(on.committed(GROUP).values()) == [stands_at]
        await running(sink_loop_of(on, shelf), until=lambda: len(shelf.stored) == 41)
        assert shelf.stored == [b"first", *sent[22:]]
        assert len(on.records(DEAD)) == 21

    run_in_virtual_time(story())


def test_a_sink_stops_when_its_store_refuses_too_much() -> None:
    async def story() -> None:
        on, shelf = cluster(), Shelf()
        on.send([outgoing(IN, value) for value in [REFUSED] * 40])
        with pytest.raises(PermanentError, match=r"Reasons: \d+ refused"):
            await running(sink_loop_of(on, shelf, TIGHT), until=lambda: False)
        assert list(shelf.next.values()) == [len(on.records(DEAD))]

    run_in_virtual_time(story())
