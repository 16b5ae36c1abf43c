"""What has to be true when a run is over, told from the topics alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from penstock.stream import headers
from penstock.stream.port import Record
from penstock.testing import Cluster
from penstock.testing.log import PartitionLog
from tests.simulation.workload import BAD, GHOST, REFUSED, UNMOVED
from tests.simulation.world import BrokenError


def uid(record: Record) -> bytes:
    found = headers.get(record, headers.UID)
    assert found is not None
    return found


def encode_letter(fields: Mapping[str, object]) -> bytes:
    """A dead letter is where its record came from."""
    return f"{fields['topic_id']}/{fields['partition']}/{fields['offset']}".encode()


def coordinate(topic_id: str, record: Record) -> bytes:
    return f"{topic_id}/{record.partition()}/{record.offset()}".encode()


def letters_name(topic_id: str, records: Iterable[Record], letters: Iterable[Record]) -> None:
    """Each dead letter names the record that it is one of. Presupposes that none is lost or doubled."""
    wanted = {uid(record): coordinate(topic_id, record) for record in records}
    for letter in letters:
        if letter.value() != wanted[uid(letter)]:
            raise BrokenError(f"{letter} is about {wanted[uid(letter)]!r}")


def uids(records: Iterable[Record], *, where: Callable[[Record], bool] = lambda _: True) -> list[bytes]:
    return [uid(record) for record in records if where(record)]


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
    for key, came in found.items():
        if came != expected[key]:
            raise BrokenError(
                f"{what}: key {key!r} came out as {_numbers(came)}, it went in as {_numbers(expected[key])}"
            )


def stored_in_order(what: str, records_in: Sequence[Record], stored: Sequence[bytes]) -> None:
    """Likewise of a store that keeps uids in the order they came. Presupposes that none is lost or doubled."""
    place = {one: at for at, one in enumerate(stored)}
    for key, went in _by_key(records_in).items():
        came = sorted(dict.fromkeys(went), key=lambda one: place[one])
        if came != list(dict.fromkeys(went)):
            raise BrokenError(f"{what}: key {key!r} was stored as {_numbers(came)}, it went in as {_numbers(went)}")


def _by_key(records: Sequence[Record]) -> dict[bytes | None, list[bytes]]:
    found: dict[bytes | None, list[bytes]] = defaultdict(list)
    for record in records:
        found[record.key()].append(uid(record))
    return found


def _numbers(some: Iterable[bytes]) -> list[int]:
    return [int.from_bytes(one, "big") for one in some]


def has_bad_key(record: Record) -> bool:
    return record.key() == BAD


def is_bad(record: Record) -> bool:
    return record.value() == BAD


def is_unmoved(record: Record) -> bool:
    return record.value() == UNMOVED


def is_refused(record: Record) -> bool:
    return record.value() == REFUSED


class Reader:
    """Somebody outside who reads all topics as they grow, read_committed: what was seen must stay true."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._logs: dict[tuple[str, int], PartitionLog] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._seen: dict[tuple[str, int], list[Record]] = defaultdict(list)

    def look(self) -> None:
        for topic in self._cluster.topics.values():
            for log in topic.logs:
                at = topic.topic_id, log.where.partition
                self._logs[at] = log
                records, self._next[at] = log.read(self._next.get(at, 0), log.high_watermark, 2**62)
                self._seen[at] += records

    def check(self) -> None:
        """What it has seen is what stands there in the end, but for what was deleted since."""
        for at, log in self._logs.items():
            kept = [record for record in self._seen[at] if record.offset() >= log.start]
            there = log.read(log.start, self._next[at], 2**62)[0]
            if kept != there:
                raise BrokenError(f"{log.where}: a reader saw {kept}, what is committed is {there}")
            if ghosts := [record for record in self._seen[at] if record.value() == GHOST]:
                raise BrokenError(f"{log.where}: a reader saw what was rolled back: {ghosts}")
