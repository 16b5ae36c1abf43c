"""What has to be true when a run is over, told from the topics alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from penstock.stream import headers
from penstock.stream.port import Record
from tests.simulation.workload import BAD
from tests.simulation.world import BrokenError


def uid(record: Record) -> bytes:
    found = headers.get(record, headers.UID)
    assert found is not None
    return found


def nothing_lost_nothing_doubled(what: str, expected: Iterable[bytes], found: Iterable[bytes]) -> None:
    """The ledger, uid by uid."""
    wanted, got = Counter(expected), Counter(found)
    if wanted == got:
        return
    lost = sorted(int.from_bytes(u, "big") for u in (wanted - got).elements())
    doubled = sorted(int.from_bytes(u, "big") for u in (got - wanted).elements())
    raise BrokenError(f"{what}: lost {lost}, doubled or never sent {doubled}")


def in_order(what: str, records_in: Sequence[Record], records_out: Sequence[Record]) -> None:
    """Each key's records come out in the order they went in. Presupposes that none is lost or doubled."""
    expected, found = _by_key(records_in), _by_key(records_out)
    for key, uids in found.items():
        if uids != expected[key]:
            raise BrokenError(
                f"{what}: key {key!r} came out as {[int.from_bytes(u, 'big') for u in uids]}, "
                f"it went in as {[int.from_bytes(u, 'big') for u in expected[key]]}"
            )


def _by_key(records: Sequence[Record]) -> dict[bytes | None, list[bytes]]:
    found: dict[bytes | None, list[bytes]] = defaultdict(list)
    for record in records:
        found[record.key()].append(uid(record))
    return found


def has_bad_key(record: Record) -> bool:
    return record.key() == BAD


def is_bad(record: Record) -> bool:
    return record.value() == BAD
