"""Kafka values in Confluent framing: a zero byte, the schema's id in the registry (4 bytes, big-endian), Avro binary.

A `Codec` writes with one schema; a `Decoder` reads whatever schema a record was written with, as the reader's schema
sees it. Both are compiled once per schema id. Times are ints of milliseconds.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from penstock.clock import Clock, SystemClock
from penstock.errors import DataError
from penstock.schema import files
from penstock.schema.avro import SchemaError, parse_record
from penstock.schema.decode import compile_decoder
from penstock.schema.encode import compile_encoder

MAGIC = b"\0"
HEADER_SIZE = 5
UNKNOWN_TTL_S = 60.0
"""How long a schema id that the registry does not know is not asked for again."""
_MAX_UNKNOWN = 10_000
_CONCURRENT_LOOKUPS = 8
LOOKUPS_PER_TURN = 64
"""Of a stage that polls in between: whoever writes to a topic may name any number of schemas that nobody knows."""


class SchemaSource(Protocol):
    """Where writers' schemas come from: the registry, or a stand-in for it."""

    async def schema(self, schema_id: int) -> Mapping[str, Any]:
        """Raises DataError("unknown-schema") for an id nobody registered, TransientError when away."""
        ...


class SchemaStore(SchemaSource, Protocol):
    async def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """The id of this schema under this subject; the same each time."""
        ...


def frame(schema_id: int) -> bytes:
    return MAGIC + schema_id.to_bytes(4, "big")


class Codec:
    """Writes records with one schema, under the id it is registered with."""

    def __init__(self, schema_id: int, schema: Mapping[str, Any]) -> None:
        self.schema_id = schema_id
        self._prefix = frame(schema_id)
        self._encode = compile_encoder(parse_record(schema))

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """The framed value. Fields left out get their default, which is slower than stating them.

        Raises:
            DataError: `invalid-record`, naming the field at fault.
        """
        return self._encode(self._prefix, record)


async def encoder(store: SchemaStore, record: str, subject: str) -> Codec:
    """A codec for the newest version of `record` (a file under schemas/avro), registered under `subject`.

    Raises:
        TransientError: the registry is away.
        PermanentError: the registry refuses the schema as incompatible with what the subject holds.
    """
    schema = files.latest(record)
    return Codec(await store.register(subject, schema), schema)


class Decoder:
    """Reads framed values as the newest version of one record.

    `prepare` is called with the values of a batch, then `decode` with each of them.
    """

    def __init__(
        self, source: SchemaSource, reader: str | Mapping[str, Any] | None, *, clock: Clock | None = None
    ) -> None:
        """`reader` names a record under schemas/avro, or is a schema; None reads each record as it was written."""
        self._source = source
        schema = files.latest(reader) if isinstance(reader, str) else reader
        self._reader = None if schema is None else parse_record(schema)
        self._clock = clock or SystemClock()
        self._compiled: dict[bytes, Callable[[bytes, int], Any]] = {}
        self._unknown: dict[bytes, float] = {}

    def lacks(self, values: Iterable[bytes | None]) -> bool:
        """Whether `prepare` would have to ask the registry about these values."""
        return bool(self._wanted(values, self._clock.monotonic_s()))

    async def prepare(self, values: Iterable[bytes | None], *, at_most: int | None = None) -> None:
        """Fetches and compiles the schemas of these values that are not known yet; of `at_most` so many, if given.

        Raises:
            TransientError: the registry is away; nothing is lost, call again.
        """
        now = self._clock.monotonic_s()
        wanted = self._wanted(values, now)[:at_most]
        if not wanted:
            return
        first, *rest = wanted
        await self._add(first, now)  # alone: where nobody answers, the others need not find out too
        left = iter(rest)

        async def look_up() -> None:
            for prefix in left:
                await self._add(prefix, now)

        try:
            async with asyncio.TaskGroup() as askers:  # when one gives up so do all: they wait for the same answerer
                for _ in range(_CONCURRENT_LOOKUPS):
                    askers.create_task(look_up())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def _wanted(self, values: Iterable[bytes | None], now: float) -> list[bytes]:
        """The beginnings of values that say which schema, where that is neither compiled nor known to be nobody's."""
        new = {value[:HEADER_SIZE] for value in values if value}.difference(self._compiled)
        return [
            prefix
            for prefix in new
            if len(prefix) == HEADER_SIZE
            and prefix.startswith(MAGIC)
            and now - self._unknown.get(prefix, -UNKNOWN_TTL_S) >= UNKNOWN_TTL_S
        ]

    async def _add(self, prefix: bytes, now: float) -> None:
        schema_id = int.from_bytes(prefix[1:], "big")
        try:
            schema = await self._source.schema(schema_id)
        except DataError:
            self._unknown.pop(prefix, None)
            self._unknown[prefix] = now
            if len(self._unknown) > _MAX_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]
            return
        try:
            writer = parse_record(schema)
            self._compiled[prefix] = compile_decoder(writer, self._reader or writer)
        except SchemaError as error:
            self._compiled[prefix] = _refusing(schema_id, str(error))
        self._unknown.pop(prefix, None)

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """The record in a value that `prepare` has seen.

        Raises:
            DataError: `tombstone`, `empty-value`, `bad-magic`, `truncated`, `trailing-bytes`, `unknown-schema`,
                `incompatible-schema` or `undecodable`.
        """
        if not value:
            raise _absent(value)
        compiled = self._compiled.get(value[:HEADER_SIZE])
        if compiled is None:
            raise _unreadable(value)
        record: dict[str, Any] = compiled(value, HEADER_SIZE)
        return record


def _absent(value: bytes | None) -> DataError:
    if value is None:
        return DataError("tombstone", "the record has a key but no value; events are never deleted by a tombstone")
    return DataError("empty-value", "the record's value has no bytes")


def _unreadable(value: bytes) -> DataError:
    if not value.startswith(MAGIC):
        return DataError("bad-magic", f"the value starts with byte {value[0]}, where Confluent framing has 0")
    if len(value) < HEADER_SIZE:
        return DataError("truncated", f"the value has {len(value)} bytes, fewer than the 5 of Confluent framing")
    schema_id = int.from_bytes(value[1:HEADER_SIZE], "big")
    return DataError("unknown-schema", f"the schema registry knows no schema of id {schema_id}")


def _refusing(schema_id: int, why: str) -> Callable[[bytes, int], Any]:
    def refuse(_data: bytes, _start: int) -> Any:
        raise DataError("incompatible-schema", f"written with schema {schema_id}, which does not fit: {why}")

    return refuse
