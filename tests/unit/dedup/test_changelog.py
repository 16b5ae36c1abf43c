"""What dedup.seen carries, and how long it is needed."""

import pytest

from penstock.errors import PermanentError
from penstock.schema.catalogue import load_catalogue
from penstock.stream.port import Headers
from services.dedup import changelog
from services.dedup.changelog import MAX_ENTRIES, Retention, Standing
from services.dedup.entries import ENTRY_BYTES
from tests.unit.dedup.building import Rec, as_read, entry_rows

STANDING = Standing("Vq3", 17, 1234)


def write(*parts: tuple[int, int, int]) -> list[Rec]:
    return as_read(list(changelog.write("dedup.seen", 3, [entry_rows(*parts)], STANDING, 1, 99)))


def test_what_is_written_is_read_back() -> None:
    (record,) = write((5, 1000, 7), (6, 1001, 8))
    assert record.partition() == 3
    assert changelog.read(record, 1) == STANDING
    assert changelog.entries([record]).tolist() == [[5, 0, 1000, 7], [6, 0, 1001, 8]]


def test_an_entry_is_32_bytes_little_endian() -> None:
    (record,) = write((5, 1000, 7))
    assert record.value() == b"".join(word.to_bytes(8, "little") for word in (5, 0, 1000, 7))


def test_a_transaction_without_entries_still_says_where_it_stands() -> None:
    (record,) = write()
    assert record.value() == b""
    assert changelog.read(record, 1) == STANDING


def test_a_transaction_with_many_entries_is_cut_below_the_largest_message() -> None:
    many = [(i, 1000, i) for i in range(MAX_ENTRIES + 1)]
    records = write(*many)
    assert len(records) == 2
    largest = max(len(record.value() or b"") for record in records)
    assert largest + 1024 < load_catalogue().topic("dedup.seen").max_message_bytes
    assert len(changelog.entries(records)) * ENTRY_BYTES == len(many) * ENTRY_BYTES
    assert {changelog.read(record, 1) for record in records} == {STANDING}


def test_another_fingerprint_version_is_explained() -> None:
    (record,) = write((5, 1000, 7))
    with pytest.raises(PermanentError, match="version 1, this dedup has version 2"):
        changelog.read(record, 2)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], b""),
        (None, b""),
        ([("topic-id", b"x"), ("next-offset", b"ten"), ("watermark", b"1"), ("fingerprint-version", b"1")], b""),
        ([("topic-id", b"x"), ("next-offset", b"10"), ("watermark", b"1"), ("fingerprint-version", b"1")], b"31"),
    ],
)
def test_a_record_of_somebody_else_is_named(headers: Headers | None, value: bytes) -> None:
    with pytest.raises(PermanentError, match=r"dedup.seen\[2\] offset 40 is not a changelog record"):
        changelog.read(Rec(None, 1, 40, 2, "dedup.seen", value, headers), 1)


def test_a_record_is_needed_until_its_newest_entry_is_dead() -> None:
    retention = Retention(step_ms=10)
    retention.note(100, 1000)
    retention.note(150, 1005)  # too near to the last note to be worth one
    retention.note(200, 1010)
    assert retention.expired(999) is None
    assert retention.expired(1000) == 100
    assert retention.expired(1009) is None
    assert retention.expired(1010) == 200
    assert retention.expired(5000) is None, "nothing is said twice, and nothing of what was never noted"
