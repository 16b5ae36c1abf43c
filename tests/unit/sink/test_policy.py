"""When a buffer is flushed."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.stream.port import TopicPartition
from services.sink.policy import Fill, FlushPolicy

A, B, C = (TopicPartition("events.scored", number) for number in range(3))
EACH = FlushPolicy(max_rows=100, max_bytes=1000, max_age_s=60, max_idle_s=5, together=False)
TOGETHER = FlushPolicy(max_rows=100, max_bytes=1000, max_age_s=60, max_idle_s=5, together=True)


def fill(rows: int = 1, size_bytes: int = 1, first_s: float = 0.0, last_s: float | None = None) -> Fill:
    return Fill(rows, 0, size_bytes, first_s, first_s if last_s is None else last_s)


def test_what_holds_nothing_is_never_due() -> None:
    assert EACH.due({A: Fill(), B: Fill()}, 1e9) == set()
    assert TOGETHER.due({A: Fill(), B: Fill()}, 1e9) == set()
    assert TOGETHER.due({}, 1e9) == set()


def test_rows_make_it_due() -> None:
    assert EACH.due({A: fill(rows=99), B: fill(rows=100)}, 0.0) == {B}


def test_age_makes_it_due_though_records_keep_coming() -> None:
    held = {A: fill(first_s=0, last_s=59.9)}
    assert EACH.due(held, 59.9) == set()
    assert EACH.due(held, 60) == {A}


def test_idleness_makes_it_due_long_before_its_age_does() -> None:
    assert EACH.due({A: fill(first_s=0, last_s=1)}, 5.9) == set()
    assert EACH.due({A: fill(first_s=0, last_s=1)}, 6) == {A}


def test_too_many_bytes_send_the_largest_partitions_off_until_half_is_left() -> None:
    held = {A: fill(size_bytes=600), B: fill(size_bytes=300), C: fill(size_bytes=100)}
    assert EACH.due(held, 0.0) == {A}


def test_together_means_that_one_that_is_due_takes_all_others_along_but_not_empty_ones() -> None:
    assert TOGETHER.due({A: fill(rows=60), B: fill(rows=40), C: Fill()}, 0.0) == {A, B}
    assert TOGETHER.due({A: fill(first_s=0, last_s=60), B: fill(first_s=59)}, 60.0) == {A, B}
    assert TOGETHER.due({A: fill(rows=60), B: fill(rows=39)}, 0.0) == set()


def test_together_is_idle_only_when_every_partition_is() -> None:
    assert TOGETHER.due({A: fill(first_s=0), B: fill(first_s=4)}, 6.0) == set()


def test_a_dead_letter_alone_makes_its_partition_due_so_that_the_offset_moves_on() -> None:
    only_dead = Fill()
    only_dead.add(rows=0, dead=1, size_bytes=0, now_s=10.0)
    assert EACH.due({A: only_dead}, 14.9) == set()
    assert EACH.due({A: only_dead}, 15.0) == {A}


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2000), st.floats(0, 100)), max_size=8),
    st.floats(0, 200),
    st.booleans(),
)
def test_what_is_left_after_a_flush_is_within_every_bound(
    found: list[tuple[int, int, float]], now_s: float, together: bool
) -> None:
    policy = TOGETHER if together else EACH
    fills = {
        TopicPartition("t", number): fill(rows, size if rows else 0, min(at, now_s))
        for number, (rows, size, at) in enumerate(found)
    }
    due = policy.due(fills, now_s)
    left = [held for partition, held in fills.items() if partition not in due and held.rows]
    assert sum(held.size_bytes for held in left) < policy.max_bytes
    assert all(held.rows < policy.max_rows for held in left)
    assert all(now_s - held.first_s < policy.max_age_s for held in left)
