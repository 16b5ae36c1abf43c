"""The judge finds what it is there for, and only that."""

from dataclasses import replace

from tests.chaos.judge import WINDOW_MS, Seen, compare, compare_sets, originals


def seen(number: int, partition: int = 0, key: bytes = b"", at_ms: int = 0) -> Seen:
    return Seen(partition, number, key or b"key %d" % number, b"uid %d" % number, at_ms)


RECORDS = [seen(number, partition=number % 2) for number in range(10)]


def test_what_is_complete_and_in_order_is_good_whatever_the_offsets() -> None:
    assert compare("here", RECORDS, [replace(record, offset=record.offset * 7) for record in RECORDS]).good


def test_the_order_between_partitions_does_not_matter() -> None:
    assert compare("here", RECORDS, [*RECORDS[::2], *RECORDS[1::2]]).good


def test_a_missing_record_is_lost() -> None:
    assert compare("here", RECORDS, RECORDS[:-1]).lost == 1


def test_a_record_that_is_there_twice_is_doubled() -> None:
    found = compare("here", RECORDS, [*RECORDS, RECORDS[-1]])
    assert (found.lost, found.doubled, found.strange) == (0, 1, 0)


def test_one_lost_and_one_doubled_do_not_cancel_out() -> None:
    found = compare("here", RECORDS, [*RECORDS[:-1], RECORDS[0]])
    assert (found.lost, found.doubled) == (1, 1)


def test_a_record_from_nowhere_is_strange() -> None:
    assert compare("here", RECORDS, [*RECORDS, seen(99)]).strange == 1


def test_a_record_before_one_it_should_follow_is_out_of_order() -> None:
    swapped = [RECORDS[2], RECORDS[0], *RECORDS[3:], RECORDS[1]]
    assert compare("here", RECORDS, swapped).out_of_order == 2


def test_a_place_without_order_is_judged_by_how_often_each_is_there() -> None:
    found = compare_sets("there", RECORDS, {record.uid: 1 for record in RECORDS[1:]} | {b"else": 2, RECORDS[1].uid: 3})
    assert (found.lost, found.doubled, found.strange) == (1, 2, 2)


def test_a_key_seen_within_the_window_is_a_duplicate_and_does_not_refresh_it() -> None:
    first, again, late, fresh = (
        seen(number, key=b"same", at_ms=at_ms) for number, at_ms in enumerate((0, 5, WINDOW_MS - 1, WINDOW_MS))
    )
    assert originals([first, again, late, fresh]) == ([first, fresh], [again, late])


def test_the_same_key_in_another_partition_is_another_event() -> None:
    records = [seen(0, 0, b"same"), seen(1, 1, b"same")]
    assert originals(records) == (records, [])
