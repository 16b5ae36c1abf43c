"""What a retry adds to a record, and its stage takes off again."""

import pytest

from penstock.stream import retried
from penstock.stream.port import Headers
from penstock.testing.builders import record

OURS: Headers = [("uid", b"u" * 16), ("own", None)]


def test_what_is_added_is_taken_off_again() -> None:
    added = retried.added(OURS, 2, 45)
    assert retried.taken_off(added) == OURS
    assert retried.added(added, 3, 45) == retried.added(OURS, 3, 45)


def test_a_record_on_its_way_back_has_the_ingest_time_of_its_header() -> None:
    headers = retried.added(OURS, 1, -1)
    assert retried.ingest_time_ms(record(topic="retry.enrich", headers=headers, timestamp_ms=9)) == -1
    assert retried.onward(record(topic="retry.enrich", headers=headers)) == OURS


def test_any_other_record_has_its_own() -> None:
    headers = retried.added(OURS, 1, 45)
    assert retried.ingest_time_ms(record(topic="events.raw", headers=headers, timestamp_ms=9)) == 9
    assert retried.onward(record(topic="events.raw", headers=headers)) == headers


@pytest.mark.parametrize("stated", [None, b"", b"soon", b"1e3", b"9" * 21])
def test_a_header_that_is_no_time_is_none(stated: bytes | None) -> None:
    sent_back = record(topic="retry.enrich", headers=[("ingest-time", stated)], timestamp_ms=9)
    assert retried.ingest_time_ms(sent_back) == 9
