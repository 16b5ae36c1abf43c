"""The handler of a stage that widens each record to its next schema and gives nothing else away.

A model behind such a stage scores a whole batch at once. Where it fails on a batch, the batch is scored one by one,
so that only the record at fault becomes a dead letter.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from penstock.errors import DataError, PenstockError
from penstock.schema.codec import LOOKUPS_PER_TURN
from penstock.stream.handler import Dead, Output
from penstock.stream.port import Outgoing, Record
from penstock.stream.retried import ingest_time_ms, onward

Fields = dict[str, Any]
"""A record as its codec takes and gives it."""
Widener = Callable[[Sequence[Fields]], Sequence[Fields]]
"""What the stage adds: for each record the fields it gets, in the same order. Pure; raises on what it can't judge."""

_OVERHEAD_BYTES = 128
"""Kafka's own bytes in a batch of one record, rounded up: 61 of the batch's header, lengths and varints."""


class Reader(Protocol):
    """What of `penstock.schema.codec.Decoder` a stage needs."""

    def lacks(self, values: Iterable[bytes | None]) -> bool: ...
    async def prepare(self, values: Iterable[bytes | None], *, at_most: int | None) -> None: ...
    def decode(self, value: bytes | None) -> Fields: ...


class Widen:
    """Implements penstock.stream.handler.Asking.

    Args:
        topic: where widened records go, with key, headers and ingest time as they came.
        max_bytes: of a record there; a larger one is a data error, found before the broker would refuse it.
    """

    def __init__(
        self, reader: Reader, widen: Widener, encode: Callable[[Fields], bytes], topic: str, max_bytes: int
    ) -> None:
        self._reader = reader
        self._widen = widen
        self._encode = encode
        self._topic = topic
        self._max_bytes = max_bytes

    def must_ask(self, batch: Sequence[Record]) -> bool:
        return self._reader.lacks(record.value() for record in batch)

    async def ask(self, batch: Sequence[Record]) -> None:
        await self._reader.prepare((record.value() for record in batch), at_most=LOOKUPS_PER_TURN)

    async def process(self, batch: Sequence[Record]) -> Output:
        output = Output()
        read: list[tuple[Record, Fields]] = []
        for record in batch:
            try:
                read.append((record, self._reader.decode(record.value())))
            except DataError as error:
                output.dead.append(Dead(record, error))
        for (record, fields), added in zip(read, self._judge([fields for _, fields in read]), strict=True):
            if isinstance(added, DataError):
                output.dead.append(Dead(record, added))
                continue
            fields.update(added)
            try:
                output.send.append(self._outgoing(record, self._encode(fields)))
            except DataError as error:
                output.dead.append(Dead(record, error))
        return output

    def _judge(self, fields: Sequence[Fields]) -> Sequence[Fields | DataError]:
        try:
            return self._widen(fields)
        except PenstockError:
            raise
        except Exception:  # noqa: BLE001  a model may fail in any way; the records are then judged one by one
            return [self._judge_one(one) for one in fields]

    def _judge_one(self, fields: Fields) -> Fields | DataError:
        try:
            return self._widen([fields])[0]
        except PenstockError:
            raise
        except Exception as error:  # noqa: BLE001
            return DataError("model-failed", f"the model failed on this record: {type(error).__name__}: {error}")

    def _outgoing(self, record: Record, value: bytes) -> Outgoing:
        headers, timestamp_ms = onward(record), ingest_time_ms(record)
        if timestamp_ms <= 0:  # the client would put the present in its place
            raise DataError(
                "no-timestamp", "the record has no ingest time, which windows and days go by", field="timestamp"
            )
        size = len(value) + len(record.key() or b"") + sum(len(name) + len(data or b"") + 8 for name, data in headers)
        if size + _OVERHEAD_BYTES > self._max_bytes:
            raise DataError("too-large", f"widened it has {size} bytes, and {self._topic} takes {self._max_bytes}")
        return Outgoing(self._topic, record.key(), value, headers, timestamp_ms)
