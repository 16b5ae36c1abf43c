"""Who a record is to the ledger, and whether it is in the time that is judged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from penstock.ledger.tally import UNKNOWN, hash_of_coordinate, hash_of_uid
from penstock.stream.headers import SOURCE, UID, UID_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    """Ingest times that are judged, both ends included, in ms since 1970-01-01 UTC; `from_ms` None is the beginning.

    Every term of every equation is cut to the same times: from the first that every store still holds, up to the
    moment of asking, so that what flows in meanwhile is nobody's loss.
    """

    from_ms: int | None
    to_ms: int

    def __contains__(self, timestamp_ms: int) -> bool:
        return timestamp_ms <= self.to_ms and (self.from_ms is None or timestamp_ms >= self.from_ms)


class Place(NamedTuple):
    """Where a record stands, or where the original of a dead letter stood."""

    topic_id: str
    partition: int
    offset: int


def identify(headers: Iterable[tuple[str, bytes | None]] | None, place: Callable[[], Place]) -> tuple[str, int]:
    """(source, identity) of a record by its headers; of several headers of one name the last counts, as everywhere.

    `place` is called only for a record that is known by nothing else.
    """
    uid = source = None
    for name, value in headers or ():
        if name == UID:
            uid = value
        elif name == SOURCE:
            source = value
    if uid is None or source is None or len(uid) != UID_BYTES:
        return by_place(place())
    return source.decode("utf-8", "replace"), hash_of_uid(uid)


def identity_of(uid: bytes | None, source: str | None, place: Place) -> tuple[str, int]:
    """The same for a record whose uid and source are known otherwise."""
    if uid is None or source is None or len(uid) != UID_BYTES:
        return by_place(place)
    return source, hash_of_uid(uid)


def by_place(place: Place) -> tuple[str, int]:
    """A record without a uid or without a source is of source `unknown`, and is who it is by where it stands."""
    return UNKNOWN, hash_of_coordinate(place.topic_id, place.partition, place.offset)
