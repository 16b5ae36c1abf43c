"""What a stage is: a handler that turns a batch of records into what to send, and perhaps a state behind it.

A handler sees no consumer, no producer and no clock it was not handed; it runs unchanged under Kafka and under the
in-memory broker. The loop (loop.py, sink_loop.py) owns polling, transactions, offsets and rebalances.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from penstock.errors import Category, DataError, PenstockError
from penstock.stream.port import Outgoing, Record, TopicPartition


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that this stage can never process, and why."""

    record: Record
    error: DataError


@dataclass(slots=True)
class Output:
    """What a batch became: every input record is in exactly one of forward, send (or its derivative) and dead."""

    send: list[Outgoing] = field(default_factory=list)
    forward: dict[str, list[Record]] = field(default_factory=dict)
    """Topic to records that go on with key, value, headers and timestamp as they came."""
    dead: list[Dead] = field(default_factory=list)


class Handler(Protocol):
    async def process(self, batch: Sequence[Record]) -> Output:
        """Called with 1..max_records records in partition order, whose headers can be read; keys, headers and
        timestamps are handed on by the handler (`uid`, `source`, `traceparent`, `occurred-at`, `fingerprint-version`,
        Kafka timestamp = ingest time).

        Raises:
            TransientError, ThrottledError: nothing was kept; the loop rolls back, waits and gives the same batch again.
            PenstockError: the stage stops with the explanation.
        """
        ...


@runtime_checkable
class Asking(Handler, Protocol):
    """A handler that has to ask somebody outside about some batches: the registry about a schema not seen yet.

    An open transaction holds all readers back, so the loop ends its own first. It polls on between the questions.
    """

    def must_ask(self, batch: Sequence[Record]) -> bool:
        """Whether `process` needs to know something first. Quick: every batch comes by."""
        ...

    async def ask(self, batch: Sequence[Record]) -> None:
        """Asks some of what it needs to know, in seconds at most; the batch comes again.

        Raises:
            TransientError, ThrottledError: nobody answers; the loop waits and gives the same batch again.
        """
        ...


class State(Protocol):
    """State per input partition, kept exact by a changelog written in the transaction of its events.

    Between `process` and `committed` all changes are provisional: `undo` takes back those of every partition.
    """

    @property
    def changelog(self) -> str:
        """The changelog's topic; its partitions are those of the input."""
        ...

    def restore(self, partition: int, records: Sequence[Record]) -> None:
        """Takes in changelog records of one partition, oldest first; called until all up to the LSO are in."""
        ...

    def restored(self, partition: int) -> tuple[str, int] | None:
        """(input topic id, next input offset) that the restored changelog ends with; None if it was empty."""
        ...

    def begin(self, partition: int, topic_id: str) -> None:
        """It is restored up to the committed offset; records of the input topic of this id come next."""
        ...

    def checkpoint(self, topic_id: str, positions: Mapping[int, int]) -> Sequence[Outgoing]:
        """Changelog records for what changed since the last commit: at least one for every partition in
        `positions`, which maps it to its next input offset."""
        ...

    def committed(self) -> None:
        """The transaction is in: forget the undo log, expire."""
        ...

    def expired(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        """Changelog offsets per partition below which no record is needed any more; asked now and then, outside a
        transaction. `ends` maps the partitions to the changelog's last stable offset: the state does not learn the
        offsets of what it writes, but what lies below an end is no newer than what it holds now."""
        ...

    def undo(self) -> None: ...

    def drop(self, partitions: Collection[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Flushed:
    """The end of a flush of one partition.

    `ours` False: somebody else had committed from the same start; what we held is dropped, go on reading at `next`.
    """

    next: int
    ours: bool


class RefusedError(PenstockError):
    """A store refused records that looked good when they were added.

    Nothing of the flush was stored, and these records are out of the buffer: have them acked as dead letters, then
    flush again.
    """

    category = Category.DATA

    def __init__(self, dead: Sequence[Dead]) -> None:
        super().__init__(f"the store refused {len(dead)} records, the first because of {dead[0].error}")
        self.dead = dead


class Sink(Protocol):
    """A store outside Kafka that keeps its own offset with its rows: that offset is the truth."""

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> Mapping[TopicPartition, int]:
        """Where the store says to go on, for newly assigned partitions; 0 for one never written.

        `topic_ids` maps the topics of `partitions` to their ids: the store keeps its offsets under them, since the
        offsets of a topic that was deleted and made again start anew.

        Raises:
            TransientError: the store is away; ask again.
        """
        ...

    async def add(self, batch: Sequence[Record]) -> Sequence[Dead]:
        """Takes records into the buffer; returns those that can never be stored, unreadable headers among them
        (`headers.of`)."""
        ...

    def due(self, now_s: float) -> Collection[TopicPartition]:
        """Partitions that should be flushed now, by size, rows, age or idleness; `now_s` is monotonic seconds."""
        ...

    async def flush(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Flushed]:
        """Stores what is buffered of these partitions together with the end offset of each, atomically per partition.

        `ends` are positions (markers counted). A failure leaves the buffer as it was, to be flushed again.

        Raises:
            TransientError: the store is away, or how it ended is unknown; flush again, a second time does no harm.
            RefusedError: some records can never be stored.
        """
        ...

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forgets the buffer of partitions that are no longer ours."""
        ...

    async def close(self) -> None: ...
