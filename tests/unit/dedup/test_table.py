"""The table against a dict, with its index kept small and its pieces tiny, so that every corner is turned."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dedup import table as module
from services.dedup.entries import LONG, NUMBERS, WORD, Words, timestamps
from services.dedup.table import Table

Model = dict[tuple[int, int], tuple[int, int]]  # fingerprint to (timestamp, offset)


@pytest.fixture(autouse=True, scope="module")
def tiny_pieces() -> Iterator[None]:
    """An index is moved 5 entries at a time instead of thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", 5)
        patch.setattr(module, "_PACE", 2)
        patch.setattr(module, "_BULK", 7)
        yield


def rows(fingerprints: list[tuple[int, int]], timestamp: int, offset: int) -> Words:
    made = np.zeros((len(fingerprints), 4), WORD)
    made[:, :2] = np.array(fingerprints, WORD).reshape(-1, 2)
    made[:, 2] = timestamp
    made[:, 3] = np.arange(offset, offset + len(fingerprints))
    return made


def put(table: Table, model: Model, fingerprints: list[tuple[int, int]], timestamp: int, offset: int) -> None:
    batch = rows(fingerprints, timestamp, offset)
    first = table.put(batch, table.find(batch))
    assert first.tolist() == [fingerprints.index(fingerprint) for fingerprint in fingerprints]
    model |= {fp: (timestamp, offset + i) for i, fp in reversed(list(enumerate(fingerprints)))}


def contents(table: Table, fingerprints: list[tuple[int, int]]) -> Model:
    asked = rows(fingerprints, 0, 0)
    slots = table.find(asked).slot
    present = (slots >= 0).nonzero()[0]
    there = table.entries(slots[present])
    assert (there[:, :2] == asked[present, :2]).all()
    return {fingerprints[i]: (int(ts), int(at)) for i, (_, _, ts, at) in zip(present, there, strict=True)}


# Low halves of 0 to 3 want the first bucket and have one tag between them; high ones have other buckets and tags.
fingerprint = st.tuples(
    st.one_of(st.integers(0, 3), st.integers(2**63, 2**63 + 40), st.just(2**32 - 1)), st.integers(0, 15)
)
batches = st.lists(fingerprint, min_size=1, max_size=40)
operations = st.lists(
    st.one_of(batches, st.sampled_from(["commit", "commit and forget", "undo", "rebuild"])), min_size=1, max_size=40
)
EVERYTHING = [(low, high) for low in [*range(4), *range(2**63, 2**63 + 41), 2**32 - 1] for high in range(16)]


@given(operations, st.sampled_from([0, 4090, NUMBERS - 30]))
@settings(max_examples=100, deadline=None)
def test_it_holds_what_a_dict_holds(operations: list[list[tuple[int, int]] | str], first: int) -> None:
    table, model, now, offset = Table(smallest=16, first=first), Model(), 1, 0
    committed, gone_until = Model(), 0
    for operation in operations:
        now += 1
        if isinstance(operation, list):
            put(table, model, operation, now, offset)
            offset += len(operation)
        elif operation == "undo":
            table.undo()
            model = dict(committed)
        elif operation == "rebuild":
            table._rebuild(len(table))
        else:
            gone_until = now - 5 if operation == "commit and forget" else gone_until
            table.commit(gone_until)
            committed = dict(model)
        there = contents(table, EVERYTHING)
        forgotten = {fp: entry for fp, entry in model.items() if fp not in there}
        assert all(timestamp <= gone_until for timestamp, _ in forgotten.values())
        assert there == {fp: entry for fp, entry in model.items() if fp not in forgotten}


@given(st.lists(batches, min_size=1, max_size=10))
@settings(max_examples=100, deadline=None)
def test_what_was_loaded_is_there_and_of_equal_ones_the_last(loads: list[list[tuple[int, int]]]) -> None:
    table, model = Table(smallest=16), Model()
    for now, batch in enumerate(loads):
        table.load(rows(batch, now, 100 * now))
        model |= {fp: (now, 100 * now + i) for i, fp in enumerate(batch)}
    table.build()
    assert contents(table, EVERYTHING) == model
    table.undo()
    assert contents(table, EVERYTHING) == model, "loading is not provisional"


def test_changes_are_what_was_put_since_the_commit_in_order() -> None:
    table = Table()
    put(table, {}, [(1, 1), (2, 2)], timestamp=5, offset=0)
    table.commit(0)
    put(table, {}, [(3, 3), (1, 1), (3, 3)], timestamp=9, offset=10)
    assert np.concatenate(list(table.changes())).tolist() == [[3, 3, 9, 10], [1, 1, 9, 11]]
    table.undo()
    assert list(table.changes()) == []


def random_entries(generator: np.random.Generator, count: int, timestamp: int) -> Words:
    made = generator.integers(0, 2**64, (count, 4), dtype=np.uint64)
    made[:, 2], made[:, 3] = timestamp, np.arange(count)
    return made


@pytest.fixture
def real_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_PIECE": 1 << 13, "_PACE": 8, "_BULK": 1 << 16}.items():
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("real_pieces")
def test_an_entry_takes_at_most_64_bytes_while_the_window_fills_and_while_it_rolls() -> None:
    generator, table, kept, most = np.random.default_rng(7), Table(), 200_000, 0.0
    for now in range(300):
        batch = random_entries(generator, 2000, now)
        table.put(batch, table.find(batch))
        table.commit(now - kept // 2000)
        if now >= 50:
            most = max(most, table.size_bytes / len(table))
    assert len(table) < kept + 10_000, "what is dead is forgotten"
    assert most <= 64


@pytest.mark.usefixtures("real_pieces")
def test_a_look_up_after_much_rolling_still_finds_what_is_kept_and_nothing_else() -> None:
    generator, table, batches = np.random.default_rng(8), Table(first=NUMBERS - 100_000), []
    for now in range(150):
        batches.append(random_entries(generator, 2000, now))
        table.put(batches[-1], table.find(batches[-1]))
        table.commit(now - 50)
    for batch in batches[100:]:
        slots = table.find(batch).slot
        assert (slots >= 0).all()
        assert (table.entries(slots) == batch).all()
    assert (table.find(random_entries(generator, 2000, 0)).slot < 0).all()
    oldest = timestamps(batches[0]).astype(LONG)
    assert (table.find(batches[0]).slot < 0).all(), f"entries of {oldest[0]} ms are long dead"
