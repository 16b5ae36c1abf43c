"""Reading records for a sink."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.stream.port import Record
from services.sink.rows import Row, row_of


def inputs(stage: str) -> tuple[str, ...]:
    """What a sink reads: what is new, and what comes back to it."""
    return ("events.scored", f"retry.{stage}")


class Decoding(Protocol):
    """What of `penstock.schema.codec.Decoder` a sink needs."""

    async def prepare(self, values: Iterable[bytes | None]) -> None: ...

    def decode(self, value: bytes | None) -> Mapping[str, Any]: ...


class Intake:
    """Turns records into rows, one at a time: a decoded event takes ten times the room of its bytes, and most of the
    time to read a batch would go into finding memory for all of them at once."""

    def __init__(self, decoder: Decoding) -> None:
        self._decoder = decoder

    async def prepare(self, batch: Sequence[Record]) -> None:
        """To be called before the rows of `batch` are read.

        Raises:
            TransientError: the schema registry is away, and a schema was not seen yet.
        """
        await self._decoder.prepare(record.value() for record in batch)

    def row(self, record: Record, topic_id: str) -> Row:
        """Raises DataError for a record that can never be one."""
        return row_of(record, self._decoder.decode(record.value()), topic_id)
