"""The broker as the loop sees it: small enough for two implementations, Kafka and one in memory.

Both are held to one contract suite (tests/contract); where they differ, the in-memory one is wrong.

A `Record` is anything with the read methods of `confluent_kafka.Message`: on the hot path a record is never
copied into an object of ours, which alone would cost a tenth of the bare loop's speed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

Headers = list[tuple[str, bytes | None]]
"""In the order they were written; a name may come twice, a value may be null."""

TIMESTAMP_MS = 1
"""Index of the milliseconds in `Record.timestamp()`, whose first item is Kafka's timestamp type."""


class TopicPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Record(Protocol):
    """One record as it was read: the read side of `confluent_kafka.Message`."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def timestamp(self) -> tuple[int, int]:
        """(timestamp type, milliseconds since 1970-01-01 UTC)."""
        ...


class Outgoing(NamedTuple):
    """One record to be written. `partition` -1 leaves the choice to the partitioner (murmur2_random)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    partition: int = -1


class Membership(Protocol):
    """The group membership (member id and epoch) under which records were polled; opaque to the loop.

    A group fences by member and epoch, not by ownership, so offsets may be committed only with the membership
    captured when the first batch of the transaction was polled, never with a fresh one.
    """


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought.

    `generation` counts this consumer's assignment changes as of the start of the fetch: a record whose partition
    was assigned later, or is not assigned any more, is stale and must be dropped.
    """

    records: Sequence[Record]
    generation: int
    membership: Membership | None
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Partitions read to their last stable offset, with that offset, where the broker said so."""
    positions: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Where the consumer stands once these records are handed over; `Broker.positions` goes by it."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """New partitions, paused and without a position: they need a `seek`, then a `resume`.

    None at all says that the group has spoken, and has nothing new for this member.
    """

    partitions: frozenset[TopicPartition]
    generation: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """Partitions that go to somebody else once `ack` is called; until then they are still ours to commit."""

    partitions: frozenset[TopicPartition]
    ack: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Lost:
    """Partitions that are somebody else's already: nothing of theirs may be committed."""

    partitions: frozenset[TopicPartition]


Event = Polled | Assigned | Revoked | Lost


class Outcome(Enum):
    """How a commit ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"  # rolled back; the same producer may begin again
    UNKNOWN = "unknown"  # timed out: only the stable offset decides; commit again until the Deadline
    FENCED = "fenced"  # the producer is no more: `renew` it, drop state, restore


FENCED = (
    "the producer is no more: its transaction took too long, or the brokers that coordinate it were away for too long,"
    " or another process writes as the same stage and slot, such as one of another machine or data folder; if that is"
    " so, give each a PENSTOCK_SLOT of its own"
)


class Broker(Protocol):
    """One consumer in a group, one transactional producer, and the few admin calls the loop needs.

    Calls are made one at a time: a poll and a commit never overlap. A `Revoked` that `poll` returned must be
    acked before the next `poll`.
    """

    async def start(self) -> None:
        """Joins the group, fences earlier producers of the same transactional id."""
        ...

    async def poll(self, max_records: int, timeout_s: float) -> Event: ...

    async def begin(self) -> None:
        """Raises TransientError where the producer cannot go on: `renew` it first."""
        ...

    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        """Hands records to the producer; `forward` maps a topic to records passed on with key, value, headers and
        timestamp as they came. What the broker refuses surfaces in `commit`."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        """Adds the offsets to the transaction and commits it. May be called again after UNKNOWN, and only then."""
        ...

    async def abort(self) -> Outcome:
        """ABORTED, or FENCED where the producer cannot go on. Never call it once a commit has begun."""
        ...

    async def renew(self) -> None:
        """A new producer under the same transactional id; what was open is aborted by the broker."""
        ...

    async def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Reads these partitions from these offsets without a group."""
        ...

    async def pause(self, partitions: Collection[TopicPartition]) -> None: ...
    async def resume(self, partitions: Collection[TopicPartition]) -> None: ...
    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Reads on from these offsets; what was fetched of these partitions before is not handed over any more."""
        ...

    async def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The next offset after all that `poll` has returned, transaction markers counted: what to commit, never
        `last + 1`, and never past a record that was fetched and not handed over yet.
        """
        ...

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """The group's committed offsets once no transaction is pending on them; None where none was committed."""
        ...

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The last stable offsets: what a read_committed reader can reach."""
        ...

    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]: ...

    async def topic_id(self, topic: str) -> str:
        """The topic's unique id, which a topic that was deleted and made again does not keep."""
        ...

    async def read(self, partition: TopicPartition, start: int, end: int, max_records: int) -> Sequence[Record]:
        """Committed records of `[start, end)` outside the group, from the first at or after `start`; at most
        `max_records`; empty when none is left before `end`."""
        ...

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None: ...

    async def close(self) -> None:
        """Leaves the group; an open transaction is aborted, unless its commit has begun."""
        ...
