"""What a row of the contract needs besides the port itself, on memory and on Kafka alike."""

from collections.abc import Sequence
from typing import Any, Protocol

from penstock.stream.port import Broker, Outgoing, TopicPartition


class Bench(Protocol):
    def now_ms(self) -> int:
        """The broker's wall clock, as far as it is known."""
        ...

    async def topic(self, partitions: int = 1, **config: Any) -> str:
        """A new topic; `config` are fields of TopicConfig. Returns its name."""
        ...

    async def recreate(self, topic: str, partitions: int = 1) -> None:
        """Deletes the topic and makes it again."""
        ...

    def broker(
        self,
        group: str,
        *topics: str,
        transactional_id: str | None = None,
        transaction_timeout_s: float = 10.0,
        max_poll_interval_s: float = 60.0,
    ) -> Broker:
        """A client, not started; closed at the end of the test. Its transactional id is unique unless given."""
        ...

    def name(self, word: str) -> str:
        """A name nobody else uses: of a group, of a transactional id."""
        ...

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Writes records outside any transaction, acknowledged on return."""
        ...

    async def send_garbled(self, topic: str, value: bytes) -> None:
        """Writes a record to partition 0 one of whose headers has a name that is not UTF-8, as any client may."""
        ...

    async def written(self, partition: TopicPartition, end: int) -> None:
        """Waits until the log, open transactions included, ends at `end` or later."""
        ...

    async def commit_offset(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Sets the offset of an empty group, as an administrator does."""
        ...

    async def forget_offsets(self, group: str) -> None:
        """Deletes all offsets of an empty group, as an administrator does, and as their retention does in time."""
        ...
