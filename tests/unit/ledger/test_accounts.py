"""The ledger's equations: a balanced world balances, and no fault hides in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.ledger.accounts import SINKS, Problem, by_source, judge, with_lag
from penstock.ledger.tally import Tallies, Tally, hash_of_coordinate, hash_of_uid

World = dict[str, list[tuple[str, bytes]]]
"""Account to the records in it: (source, uid)."""

BOTH = tuple(SINKS)
PATHS: Mapping[str, tuple[str, ...]] = {
    "stored": ("raw", "unique", "enriched", "scored", "postgres", "parquet"),
    "duplicate": ("raw", "duplicate"),
    "late": ("raw", "late"),
    "dead in dedup": ("raw", "dlq.dedup"),
    "dead in enrich": ("raw", "unique", "dlq.enrich"),
    "dead in sentiment": ("raw", "unique", "enriched", "dlq.sentiment"),
    "dead in sink-postgres": ("raw", "unique", "enriched", "scored", "dlq.sink-postgres", "parquet"),
    "dead in sink-s3": ("raw", "unique", "enriched", "scored", "dlq.sink-s3", "postgres"),
    "retried and stored": (
        ("raw", "unique", "dlq.enrich", "retry.enrich", "enriched", "scored", "postgres", "parquet")
    ),
    "retried and dead again": ("raw", "unique", "dlq.enrich", "dlq.enrich", "retry.enrich"),
    "purged": ("raw", "unique", "purged.enrich"),
}
ACCOUNTS = sorted({account for path in PATHS.values() for account in path})
SOURCES = ("github", "wikipedia", "exchange")


@dataclass(frozen=True)
class Fate:
    source: str
    uid: bytes
    path: str


uids = st.binary(min_size=16, max_size=16) | st.integers(0, 50).map(lambda number: number.to_bytes(16, "big"))
"""Random ones, and ones in sequence: the ledger's strength must not rest on how uids are minted."""
fates = st.lists(
    st.builds(Fate, st.sampled_from(SOURCES), uids, st.sampled_from(sorted(PATHS))),
    min_size=1,
    max_size=60,
    unique_by=lambda fate: fate.uid,
)


def world_of(events: list[Fate]) -> World:
    world: World = {account: [] for account in ACCOUNTS}
    for event in events:
        for account in PATHS[event.path]:
            world[account].append((event.source, event.uid))
    return world


def judged(world: World, sinks: tuple[str, ...] = BOTH) -> list[Problem]:
    counts = {}
    for account, records in world.items():
        tallies = Tallies()
        for source, uid in records:
            tallies.add(source, hash_of_uid(uid))
        counts[account] = tallies.read()
    return judge(by_source(counts), sinks)


@given(fates)
def test_a_world_in_which_every_event_has_one_fate_balances(events: list[Fate]) -> None:
    assert judged(world_of(events)) == []


faults: Mapping[str, Callable[[World, str, int], None]] = {
    "loss": lambda world, account, at: world[account].__delitem__(at),
    "doubling": lambda world, account, at: world[account].append(world[account][at]),
    "trebling": lambda world, account, at: world[account].extend([world[account][at]] * 2),
    "another source": lambda world, account, at: world[account].__setitem__(at, ("weather", world[account][at][1])),
    "another uid": lambda world, account, at: world[account].__setitem__(at, (world[account][at][0], b"another")),
}


@pytest.mark.parametrize("fault", sorted(faults))
@given(events=fates, data=st.data())
def test_a_single_fault_in_any_account_is_seen(fault: str, events: list[Fate], data: st.DataObject) -> None:
    world = world_of(events)
    account = data.draw(st.sampled_from([account for account, records in world.items() if records]))
    at = data.draw(st.integers(0, len(world[account]) - 1))
    faults[fault](world, account, at)
    assert judged(world) != []


@pytest.mark.parametrize("times", [1, 2, 3])
@given(events=fates, data=st.data())
def test_as_many_lost_as_doubled_do_not_cancel_out(times: int, events: list[Fate], data: st.DataObject) -> None:
    world = world_of(events)
    account = data.draw(st.sampled_from([account for account, records in world.items() if records]))
    records = world[account]
    before = sorted(records)
    place = st.integers(0, len(records) - 1)
    for _ in range(times):
        lost, doubled = data.draw(place), data.draw(place)
        records[lost] = records[doubled]
    assume(sorted(records) != before)
    assert judged(world) != []


@given(events=fates, data=st.data())
def test_a_record_in_the_wrong_account_is_seen(events: list[Fate], data: st.DataObject) -> None:
    world = world_of(events)
    wrong, right = "duplicate", "unique"
    if data.draw(st.booleans()):
        wrong, right = right, wrong
    assume(world[right])
    at = data.draw(st.integers(0, len(world[right]) - 1))
    world[wrong].append(world[right].pop(at))
    # From unique to duplicate alone: what dedup called a duplicate must not have gone on.
    assert judged(world) != []


def test_a_sink_that_is_not_judged_may_be_empty() -> None:
    world = world_of([Fate("github", b"a" * 16, "stored")])
    world["parquet"].clear()
    assert judged(world, ("postgres",)) == []
    assert {problem.equation for problem in judged(world)} == {
        "scored = parquet + dead.sink-s3",
        "unique = parquet + dead.enrich + dead.sentiment + dead.sink-s3",
    }


def test_a_problem_names_the_source_the_equation_the_difference_and_the_hop() -> None:
    world = world_of([Fate("github", bytes([n]) * 16, "stored") for n in range(3)])
    world["postgres"].pop()
    hop, whole = judged(world)
    assert (hop.source, hop.equation, hop.difference) == ("github", "scored = postgres + dead.sink-postgres", 1)
    assert "1 lost" in hop.detail
    assert "sink-postgres" in hop.look
    assert whole.equation == "unique = postgres + dead.enrich + dead.sentiment + dead.sink-postgres"
    assert hop.equation in whole.look


def test_a_problem_at_a_stage_that_has_not_read_everything_says_so() -> None:
    world = world_of([Fate("github", b"a" * 16, "stored")])
    world["postgres"].pop()
    hop, whole = with_lag(judged(world), {"sink-postgres": 12, "enrich": 5})
    assert "sink-postgres has up to 12 records still to read" in hop.look
    assert "still to read" not in whole.look
    assert with_lag([hop], {"sink-postgres": 0}) == [hop]


def test_more_sent_back_than_ever_died_is_a_problem() -> None:
    world = world_of([Fate("github", b"a" * 16, "retried and stored")])
    world["retry.enrich"].append(("github", b"a" * 16))
    assert any("more were sent back" in problem.detail for problem in judged(world))


@given(st.lists(uids))
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(records: list[bytes]) -> None:
    parts = [Tally(), Tally()]
    whole = Tallies()
    for n, uid in enumerate(records):
        one = Tallies()
        one.add("s", hash_of_uid(uid))
        parts[n % 2] += one.read()["s"]
        whole.add("s", hash_of_uid(uid))
    assert parts[0] + parts[1] == whole.read().get("s", Tally())


@given(st.lists(uids))
def test_halves_added_up_apart_give_the_same_tally(records: list[bytes]) -> None:
    whole = Tallies()
    high = low = 0
    for uid in records:
        identity = hash_of_uid(uid)
        whole.add("s", identity)
        part = ((identity + (1 << 63)) % (1 << 64)) - (1 << 63)
        high, low = high + ((identity - part) >> 64), low + part
    assert Tally.of_halves(len(records), high, low) == whole.read().get("s", Tally())


def test_coordinates_of_different_places_are_different_identities() -> None:
    places = [("t", 0, 1), ("t", 1, 0), ("t", 1, 1), ("u", 0, 1), ("t", 0, 11), ("t", 10, 1)]
    assert len({hash_of_coordinate(*place) for place in places}) == len(places)
