"""The record that an accepted event becomes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import tracing
from penstock.errors import DataError
from penstock.event import MAX_EVENT_BYTES
from penstock.event_input import parse_event
from penstock.fingerprint import Fingerprinter
from services.ingest.accept import Acceptor, mint_uid
from tests.unit.ingest.building import KEY, NOW_MS, acceptor, encode, event_of, posted


def test_it_carries_key_headers_and_ingest_time() -> None:
    event = parse_event(posted(), NOW_MS)
    record = acceptor().accept(event)
    headers = dict(record.headers)
    assert record.topic == "events.raw"
    assert record.key == Fingerprinter(KEY).of(event)
    assert record.timestamp_ms == NOW_MS
    assert event_of(record) == event
    assert list(headers) == ["uid", "source", "traceparent", "occurred-at", "fingerprint-version"]
    assert headers["source"] == b"shop"
    assert headers["occurred-at"] == b"1420070400000"
    assert headers["fingerprint-version"] == b"1"
    assert len(headers["uid"] or b"") == 16
    assert tracing.valid(headers["traceparent"] or b"")


def test_the_same_event_twice_has_one_key_and_two_identities() -> None:
    accept = acceptor().accept
    event = parse_event(posted(), NOW_MS)
    first, second = accept(event), accept(event)
    assert first.key == second.key
    assert dict(first.headers)["uid"] != dict(second.headers)["uid"]
    assert dict(first.headers)["traceparent"] != dict(second.headers)["traceparent"]


@pytest.mark.parametrize(
    ("given", "kept"), [(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", True), (b"", False), (b"x" * 9999, False)]
)
def test_a_producers_traceparent_goes_on_where_it_is_valid(given: bytes, kept: bool) -> None:
    record = acceptor().accept(parse_event(posted(), NOW_MS), given)
    found = dict(record.headers)["traceparent"]
    assert (found == given) is kept
    assert tracing.valid(found or b"")


def test_what_would_not_fit_into_the_topic_is_a_data_error() -> None:
    blown_up = Acceptor(
        Fingerprinter(KEY), lambda record: encode(record) + bytes(MAX_EVENT_BYTES), lambda size: b"x" * size
    )
    with pytest.raises(DataError) as caught:
        blown_up.accept(parse_event(posted(), NOW_MS))
    assert caught.value.reason == "too-large"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=16, max_size=16))
def test_a_uid_is_a_uuid_of_version_7_with_its_time(now_ms: int, random_bytes: bytes) -> None:
    uid = UUID(bytes=mint_uid(now_ms, random_bytes))
    assert (uid.version, uid.variant) == (7, "specified in RFC 4122")
    assert uid.int >> 80 == now_ms
    assert uid.bytes[9:] == random_bytes[9:]
