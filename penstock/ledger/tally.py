"""How many records, and which ones: a count and a sum of hashes that can be added and compared.

The sum is AdHash (Bellare and Micciancio, "A new paradigm for collision-free hashing", Eurocrypt 1997): every record's
identity goes through SHA-256, and the first 128 bits of the digests are added up modulo 2**128. It does not depend on
order, adds up over partitions, files and days, and a term can be taken off again.

Why a sum cannot hide a fault: one lost and one doubled leave `hash(b) - hash(a)`, which is zero only for equal hashes,
so for the same record. Several lost and several others doubled leave a sum of differences of independent 128-bit
values, which is zero by chance once in 2**128. XOR would not do: a record that comes twice more would vanish in it.
Nobody can choose identities so that a sum cancels out, since ingest mints every uid and takes none from outside; what
the ledger guards against is faults, not forgers. Hashing the uid, though it is random already, keeps all this true
should a later ingest mint uids in sequence (1 + 4 = 2 + 3).

The digest is read as two signed 64-bit halves, big-endian: that is what a database can add up exactly as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

UID_BYTES = 16
UNKNOWN = "unknown"
"""The source of a record that carries no uid or no source."""

_MODULUS = 1 << 128
_halves = Struct(">qq").unpack_from


def hash_of_uid(uid: bytes) -> int:
    """The identity of a record that carries a uid: any integer, meaningful modulo 2**128."""
    high, low = _halves(sha256(uid).digest())
    return (int(high) << 64) + int(low)


def hash_of_coordinate(topic_id: str, partition: int, offset: int) -> int:
    """The identity of a record without a uid or source: where it stands, in a topic that has not been made anew."""
    return hash_of_uid(f"{topic_id}/{partition}/{offset}".encode())


@dataclass(frozen=True, slots=True)
class Tally:
    """A multiset of records, up to hashing. `hash_sum` is in [0, 2**128)."""

    count: int = 0
    hash_sum: int = 0

    @staticmethod
    def of_halves(count: int, high: int, low: int) -> "Tally":
        """From the sums of both signed halves of the digests, as a database adds them up."""
        return Tally(count, ((high << 64) + low) % _MODULUS)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.count + other.count, (self.hash_sum + other.hash_sum) % _MODULUS)

    def __sub__(self, other: "Tally") -> "Tally":
        """Takes records off again; the count goes below zero where they were never in."""
        return Tally(self.count - other.count, (self.hash_sum - other.hash_sum) % _MODULUS)


NOTHING = Tally()


class Tallies:
    """Tallies per source, to add single records to. The one mutable thing in the ledger's arithmetic."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}

    def add(self, source: str, identity: int) -> None:
        sums = self._sums.get(source)
        if sums is None:
            self._sums[source] = [1, identity]
        else:
            sums[0] += 1
            sums[1] += identity

    def merge(self, other: Mapping[str, Tally]) -> None:
        for source, tally in other.items():
            sums = self._sums.setdefault(source, [0, 0])
            sums[0] += tally.count
            sums[1] += tally.hash_sum

    def read(self) -> dict[str, Tally]:
        return dict(self._items())

    def _items(self) -> Iterator[tuple[str, Tally]]:
        for source, (count, total) in self._sums.items():
            yield source, Tally(count, total % _MODULUS)
