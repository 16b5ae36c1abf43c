"""Records of dlq.<stage> and dlq.audit, decoded; what cannot be read is None, and never stops a reader."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.errors import DataError
from penstock.ledger.audit import Action, action_of
from penstock.ledger.letters import DeadLetter, letter_of


class RecordDecoder(Protocol):
    """`penstock.schema.codec.Decoder`, for one kind of record."""

    def prepare(self, values: Sequence[bytes | None]) -> Awaitable[None]: ...

    def decode(self, value: bytes | None) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Decoders:
    """For dlq.<stage>, and for dlq.audit."""

    letters: RecordDecoder
    actions: RecordDecoder


class Kept(Protocol):
    """What a record is read for: the client's `Message`, or the port's `Record`."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def value(self) -> bytes | None: ...


async def decode_letters(records: Sequence[Kept], decoder: RecordDecoder) -> list[DeadLetter | None]:
    """The letter in each of these records.

    Raises:
        TransientError: the schema registry is away.
    """
    return [
        None
        if fields is None
        else letter_of(fields, record.topic() or "", record.partition() or 0, record.offset() or 0)
        for record, fields in zip(records, await _decode(records, decoder), strict=True)
    ]


async def decode_actions(records: Sequence[Kept], decoder: RecordDecoder) -> list[Action | None]:
    """The action in each of these records of dlq.audit.

    Raises:
        TransientError: the schema registry is away.
    """
    actions: list[Action | None] = []
    for fields in await _decode(records, decoder):
        try:
            actions.append(None if fields is None else action_of(fields))
        except DataError:
            actions.append(None)
    return actions


async def _decode(records: Sequence[Kept], decoder: RecordDecoder) -> list[Mapping[str, Any] | None]:
    values = [record.value() for record in records]
    await decoder.prepare(values)
    decoded: list[Mapping[str, Any] | None] = []
    for value in values:
        try:
            decoded.append(decoder.decode(value))
        except DataError:
            decoded.append(None)
    return decoded
