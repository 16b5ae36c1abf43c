"""Who a record is by its headers, and dead letters counted once."""

from dataclasses import replace

from penstock.ledger.identity import Cut, Place, identify
from penstock.ledger.letter_count import LetterCount
from penstock.ledger.tally import UNKNOWN, hash_of_coordinate, hash_of_uid
from tests.unit.cli.test_dead_letter import LETTER

HERE = Place("topic-id", 1, 2)
UID = b"u" * 16


def test_a_record_is_its_uid_under_its_source() -> None:
    assert identify([("uid", UID), ("source", b"github")], lambda: HERE) == ("github", hash_of_uid(UID))


def test_of_several_headers_of_one_name_the_last_counts() -> None:
    headers = [("uid", b"x" * 16), ("source", b"a"), ("uid", UID), ("source", b"b")]
    assert identify(headers, lambda: HERE) == ("b", hash_of_uid(UID))


def test_a_record_that_lacks_a_uid_or_a_source_is_unknown_by_its_place() -> None:
    unknown = (UNKNOWN, hash_of_coordinate("topic-id", 1, 2))
    assert identify(None, lambda: HERE) == unknown
    assert identify([("uid", UID)], lambda: HERE) == unknown
    assert identify([("source", b"github")], lambda: HERE) == unknown
    assert identify([("uid", b"short"), ("source", b"github")], lambda: HERE) == unknown
    assert identify([("uid", None), ("source", b"github")], lambda: HERE) == unknown


def test_a_source_that_is_no_text_is_the_same_source_as_in_its_dead_letter() -> None:
    assert identify([("uid", UID), ("source", b"\xff")], lambda: HERE)[0] == b"\xff".decode("utf-8", "replace")


def test_letters_of_one_original_count_once_and_others_for_themselves() -> None:
    count = LetterCount()
    for offset in (1, 2, 3):
        count.add(LETTER, Place("dlq", 0, offset))
    assert [tally.count for tally in count.dead().values()] == [1]
    count.add(replace(LETTER, origin=HERE._replace(offset=3)), Place("dlq", 0, 4))
    assert [tally.count for tally in count.dead().values()] == [2]


def test_letters_whose_originals_never_were_in_kafka_count_each_for_itself() -> None:
    count = LetterCount()
    for offset in (1, 2):
        count.add(replace(LETTER, origin=None), Place("dlq", 0, offset))
    assert [tally.count for tally in count.dead().values()] == [2]


def test_a_cut_has_both_its_ends() -> None:
    assert [ms in Cut(10, 20) for ms in (9, 10, 20, 21)] == [False, True, True, False]
    assert 0 in Cut(None, 20)
