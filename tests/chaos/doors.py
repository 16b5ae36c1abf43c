"""What was handed in at the doors that no manifest tells of, held against what the topics hold of it.

Pure, as the judge is: a record that a door took and that never came into events.raw is missing from every hop behind it
alike, so that no comparison of two topics can find it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.judge import Finding, Seen, compare_bounds
from tests.e2e.inbox import NO_EVENT
from tests.e2e.offered import Offered


@dataclass(frozen=True, slots=True)
class Door:
    """`offered` has events by their ids; all events of `source` come by this door."""

    name: str
    source: str
    offered: Offered


@dataclass(frozen=True, slots=True)
class Doors:
    """
    Attributes:
        refused: what events.inbox was given that is no event, all by the name NO_EVENT.
        garbled: what nobody can read, written past ingest to events.raw, by uid.
    """

    events: Sequence[Door]
    refused: Offered
    garbled: Offered


def judge_doors(doors: Doors, topics: Mapping[str, Sequence[Seen]]) -> list[Finding]:
    """
    Args:
        topics: all of raw, unique, duplicates, dlq.ingest and dlq.enrich, by these names.
    """
    refused, garbled = doors.refused, doors.garbled
    letters = Counter({NO_EVENT: len(topics["dlq.ingest"])})
    unreadable = Counter(record.uid for record in topics["dlq.enrich"])
    return [
        *(finding for door in doors.events for finding in _of_door(door, topics)),
        compare_bounds("events.inbox, no events -> dlq.ingest", refused.least, refused.most, letters),
        compare_bounds("events.raw, garbled -> dlq.enrich", garbled.least, garbled.most, unreadable),
    ]


def _of_door(door: Door, topics: Mapping[str, Sequence[Seen]]) -> list[Finding]:
    """By the events' own ids. The hops behind events.raw are judged by what it holds: an id's first record is unique,
    every other one a duplicate."""
    raw, unique, duplicates = (
        [record for record in topics[name] if record.source == door.source.encode()]
        for name in ("raw", "unique", "duplicates")
    )
    ids = {record.uid: record.event_id for record in raw}
    came = Counter(ids[record.uid] for record in raw)
    once = dict.fromkeys(came, 1)
    again = {name: count - 1 for name, count in came.items()}
    repeated = Counter(ids.get(record.uid, b"") for record in duplicates)
    return [
        compare_bounds(f"{door.name} -> raw", door.offered.least, door.offered.most, came),
        compare_bounds(
            f"raw by {door.name}, each id -> unique", once, once, Counter(record.event_id for record in unique)
        ),
        compare_bounds(f"raw by {door.name}, each id again -> duplicates", again, again, repeated),
    ]
