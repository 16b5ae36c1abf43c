"""What a door took is found in the topics or missed, and only what nobody was told of may be either."""

from collections.abc import Sequence
from dataclasses import replace

from tests.chaos.doors import Door, Doors, judge_doors
from tests.chaos.judge import Finding, Seen
from tests.chaos.reader import event_id
from tests.e2e.inbox import NO_EVENT
from tests.e2e.offered import Offered

IDS = (b"posts:1", b"posts:2", b"posts:3")
RAW = "POST /events -> raw"
UNIQUE = "raw by POST /events, each id -> unique"
DUPLICATES = "raw by POST /events, each id again -> duplicates"
REFUSED = "events.inbox, no events -> dlq.ingest"
GARBLED = "events.raw, garbled -> dlq.enrich"


def seen(number: int, name: bytes) -> Seen:
    return Seen(0, number, b"key " + name, b"uid %d" % number, 0, b"posts", name)


def accepted(*names: bytes) -> Offered:
    offered = Offered()
    offered.hand_in(*names)
    offered.acknowledge(*names)
    return offered


def judged(
    offered: Offered,
    raw: Sequence[Seen],
    unique: Sequence[Seen] | None = None,
    duplicates: Sequence[Seen] = (),
    refused: Sequence[Seen] = (),
    unreadable: Sequence[Seen] = (),
) -> dict[str, Finding]:
    """By place. One record that is no event and one garbled one, of the uid 0, were handed in and acknowledged too."""
    doors = Doors((Door("POST /events", "posts", offered),), accepted(NO_EVENT), accepted(b"uid 0"))
    topics = {
        "raw": raw,
        "unique": raw if unique is None else unique,
        # As it is read: nobody looks into a duplicate's value.
        "duplicates": [replace(record, event_id=b"") for record in duplicates],
        "dlq.ingest": refused,
        "dlq.enrich": unreadable,
    }
    return {finding.place: finding for finding in judge_doors(doors, topics)}


ALL = [seen(number, name) for number, name in enumerate(IDS)]


def test_what_was_accepted_and_is_in_is_good() -> None:
    found = judged(accepted(*IDS), ALL, refused=[seen(9, b"")], unreadable=[seen(0, b"")])
    assert all(finding.good for finding in found.values())
    assert [found[place].records for place in (RAW, UNIQUE, DUPLICATES, REFUSED, GARBLED)] == [3, 3, 0, 1, 1]


def test_an_accepted_event_that_never_came_into_raw_is_lost_at_its_door_and_nowhere_else() -> None:
    found = judged(accepted(*IDS), ALL[:-1])
    assert found[RAW].lost == 1
    assert found[UNIQUE].good


def test_a_lost_event_is_not_made_up_for_by_another_that_is_there_twice() -> None:
    found = judged(accepted(*IDS), [*ALL[:-1], seen(7, IDS[0])])[RAW]
    assert (found.lost, found.doubled) == (1, 1)


def test_what_had_no_answer_may_be_in_or_not_but_not_twice() -> None:
    unanswered = Offered()
    unanswered.hand_in(*IDS)
    assert judged(unanswered, ALL)[RAW].good
    assert judged(unanswered, [])[RAW].good
    assert judged(unanswered, [*ALL, seen(7, IDS[0])])[RAW].doubled == 1


def test_what_was_repeated_for_want_of_an_answer_is_in_once_or_twice() -> None:
    offered = accepted(*IDS)
    offered.hand_in(IDS[0])
    assert judged(offered, ALL)[RAW].good
    assert judged(offered, [*ALL, seen(7, IDS[0])])[RAW].good
    assert judged(offered, ALL[1:])[RAW].lost == 1


def test_what_nobody_handed_in_is_strange_and_what_another_source_did_is_not_looked_at() -> None:
    assert judged(accepted(*IDS), [*ALL, seen(7, b"posts:4")])[RAW].strange == 1
    assert judged(accepted(*IDS), [*ALL, replace(seen(7, b"else:4"), source=b"else")])[RAW].good


def test_a_repeat_belongs_among_the_duplicates() -> None:
    again = seen(7, IDS[0])
    raw = [*ALL, again]
    assert judged(accepted(*IDS, IDS[0]), raw, ALL, [again])[DUPLICATES].good
    assert judged(accepted(*IDS, IDS[0]), raw, ALL)[DUPLICATES].lost == 1


def test_a_repeat_that_was_taken_for_another_event_is_doubled() -> None:
    """As it would be if ingest gave it another fingerprint: no comparison by key can know."""
    raw = [*ALL, replace(seen(7, IDS[0]), key=b"another")]
    assert judged(accepted(*IDS, IDS[0]), raw, raw)[UNIQUE].doubled == 1


def test_a_refused_record_without_a_dead_letter_is_lost_and_one_with_two_is_doubled() -> None:
    assert judged(accepted(*IDS), ALL)[REFUSED].lost == 1
    assert judged(accepted(*IDS), ALL, refused=[seen(8, b""), seen(9, b"")])[REFUSED].doubled == 1


def test_a_garbled_record_is_known_by_its_uid() -> None:
    found = judged(accepted(*IDS), ALL, unreadable=[seen(5, b"")])[GARBLED]
    assert (found.lost, found.strange) == (1, 1)


def test_an_events_id_is_read_without_our_codec() -> None:
    framing = b"\0\0\0\0\7"
    assert event_id(framing + b"\x0eposts:1\x0aposts") == b"posts:1"
    assert event_id(framing + b"\xac\x02" + b"x" * 150 + b"\x0aposts") == b"x" * 150
    assert event_id(b"garbled in the middle") == event_id(b"") == b""


def test_a_letter_of_ingest_that_nobody_handed_in_is_from_nowhere() -> None:
    doors = Doors((), Offered(), Offered())
    found = judge_doors(doors, {"dlq.ingest": [seen(9, b"")], "dlq.enrich": []})
    assert [finding.strange for finding in found] == [1, 0]
