"""What becomes of a batch."""

import ast
from collections.abc import Mapping
from dataclasses import replace

import pytest

from penstock.errors import PermanentError
from penstock.stream.port import Headers
from penstock.testing import Cluster
from penstock.testing.builders import outgoing
from penstock.testing.drain import drain
from services.dedup.handler import Dedup, Topics
from tests.unit.dedup.building import GRACE_MS, Rec, key, new_dedup, new_state, raw

GOOD: Headers = [("uid", b"u" * 16), ("source", b"github")]


async def test_originals_and_late_records_go_on_as_they_came() -> None:
    first, other, late = raw(1, 5000, 0), raw(2, 5000, 1), raw(3, 5000 - GRACE_MS - 1, 2)
    output = await new_dedup().process([first, other, late])
    assert output.forward == {"events.unique": [first, other], "events.late": [late]}
    assert not output.send
    assert not output.dead


async def test_a_duplicate_says_what_it_is_of_and_keeps_its_headers_and_time() -> None:
    dedup = new_dedup()
    first, again = raw(1, 5000, 40, partition=2), raw(1, 5600, 41, partition=2)
    await dedup.process([first])
    output = await dedup.process([again])
    assert not output.forward
    (sent,) = output.send
    assert (sent.topic, sent.key, sent.timestamp_ms) == ("events.duplicates", again.key(), 5600)
    assert sent.headers == again.headers()
    assert ast.literal_eval((sent.value or b"").decode()) == {
        "uid": dict(again.headers() or ())["uid"],
        "source": "github",
        "timestamp": 5600,
        "partition": 2,
        "offset": 41,
        "first": {"topic_id": None, "partition": 2, "offset": 40, "timestamp": 5000},
        "how": "exact",
    }


async def test_a_batch_of_several_partitions_keeps_the_order_of_each() -> None:
    batch = [raw(i, 5000 + i, i, partition=i % 3) for i in range(30)]
    output = await new_dedup().process(batch)
    for partition in range(3):
        offsets = [r.offset() for r in output.forward["events.unique"] if r.partition() == partition]
        assert offsets == list(range(partition, 30, 3))


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("bad-key", Rec(None, 5000, headers_=GOOD)),
        ("bad-key", Rec(b"fifteen bytes..", 5000, headers_=GOOD)),
        ("bad-key", Rec(b"", 5000, headers_=GOOD)),
        ("bad-uid", Rec(b"k" * 16, 5000, headers_=GOOD[1:])),
        ("bad-uid", Rec(b"k" * 16, 5000, headers_=[("uid", b"short"), GOOD[1]])),
        ("bad-uid", Rec(b"k" * 16, 5000, headers_=None)),
        ("no-source", Rec(b"k" * 16, 5000, headers_=GOOD[:1])),
        ("no-timestamp", Rec(b"k" * 16, -1, headers_=GOOD)),
    ],
)
async def test_what_cannot_be_decided_on_is_a_dead_letter_and_stops_nobody(reason: str, record: Rec) -> None:
    good = raw(1, 5000, 1)
    output = await new_dedup().process([record, good])
    assert [(dead.record, dead.error.reason) for dead in output.dead] == [(record, reason)]
    assert output.forward == {"events.unique": [good]}


async def test_a_batch_of_nothing_but_dead_letters_sends_nothing_on() -> None:
    output = await new_dedup().process([Rec(None, 5000)])
    assert len(output.dead) == 1
    assert not output.forward


async def test_headers_in_another_order_are_as_good() -> None:
    record = replace(raw(1, 5000, 0), headers_=[("traceparent", b"00"), *reversed(GOOD)])
    output = await new_dedup().process([record])
    assert output.forward == {"events.unique": [record]}


async def test_a_late_record_with_a_known_fingerprint_is_late_not_a_duplicate() -> None:
    dedup = new_dedup()
    late = raw(1, 5000 - GRACE_MS - 1, 1)
    output = await dedup.process([raw(1, 5000, 0), late])
    assert output.forward["events.late"] == [late]
    assert not output.send


async def test_a_fingerprint_of_another_version_stops_it_with_an_explanation() -> None:
    newer = replace(raw(1, 5000, 7), headers_=[*GOOD, ("fingerprint-version", b"2")])
    with pytest.raises(
        PermanentError, match=r"events.raw\[0\] offset 7 has a fingerprint of version 2.* has version 1:"
    ):
        await new_dedup().process([raw(2, 5000, 6), newer])


async def test_a_record_that_does_not_state_the_version_is_taken_for_one_of_this() -> None:
    record = replace(raw(1, 5000, 0), headers_=GOOD)
    assert (await new_dedup().process([record])).forward == {"events.unique": [record]}


def test_the_first_duplicate_of_all_names_the_topic_of_its_original() -> None:
    cluster, named = Cluster(), list[object]()
    for topic in ("events.raw", "events.unique", "events.duplicates", "dedup.seen", "dlq.dedup"):
        cluster.create_topic(topic)
    cluster.send([outgoing("events.raw", b"", key=key(1), headers=GOOD) for _ in range(2)])

    def encode(fields: Mapping[str, object]) -> bytes:
        named.append(fields["first"])
        return b""

    state = new_state()
    drain(cluster, Dedup(state, encode, Topics()), "events.raw", stage="dedup", state=state)
    (first,) = named
    assert isinstance(first, dict)
    assert (first["topic_id"], first["offset"]) == (cluster.topic("events.raw").topic_id, 0)
