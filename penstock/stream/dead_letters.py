"""Dead letters: what can never be processed is kept whole, with where it came from and why it was refused."""

from collections.abc import Callable, Mapping

import structlog

from penstock.clock import Clock
from penstock.errors import DataError
from penstock.stream import headers
from penstock.stream.handler import Dead
from penstock.stream.port import Headers, Outgoing, Record
from penstock.stream.retried import ingest_time_ms

_MAX_HEADER_BYTES = 1024
"""A longer value of a header of ours is a stranger's; it stays inside the letter."""

MAX_BYTES = 8 * 1024 * 1024
"""What a dead letter topic takes (schemas/topics/dlq.*.yaml)."""
_MAX_HEADERS = 100
_ROOM_BYTES = 4096
"""For what a letter holds beside its value, headers and key, and for Kafka's own bytes."""

_LOGGED_PER_S = 20
"""Beyond it dead letters are only counted: a flood of them must not become a flood of logs."""

log = structlog.get_logger(__name__)


class DeadLetters:
    """
    Args:
        stage: names the topic, `dlq.<stage>`.
        encode: a dead letter's fields (schemas/avro/dead_letter) to framed Avro.
        max_bytes: of a letter. What was small while it was compressed may be larger: then its value is cut,
            `value_size` says what it was, and a key or headers that leave no room are left out.
        topic_ids: the input topics' unique ids; a dead letter is counted once by (topic id, partition, offset).
    """

    def __init__(
        self,
        stage: str,
        encode: Callable[[Mapping[str, object]], bytes],
        topic_ids: Mapping[str, str],
        clock: Clock,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._max_bytes = max_bytes
        self._stage = stage
        self._encode = encode
        self._topic_ids = dict(topic_ids)
        self._clock = clock
        self._logged = (0, 0)

    def reads(self, topic_ids: Mapping[str, str]) -> None:
        """The topics' ids as they are now: one that is deleted and made again gets another."""
        self._topic_ids.update(topic_ids)

    def wrap(self, dead: Dead) -> Outgoing:
        record, error = dead.record, dead.error
        found, detail = _headers_of(dead)
        uid, source = headers.last(found, headers.UID), headers.last(found, headers.SOURCE)
        now_ms = self._clock.now_ms()
        letter: dict[str, object] = {
            "stage": self._stage,
            "topic": record.topic(),
            "topic_id": self._topic_ids[record.topic()],
            "partition": record.partition(),
            "offset": record.offset(),
            "timestamp": ingest_time_ms(record),
            "key": record.key(),
            "value": record.value(),
            "value_size": None,
            "headers": [{"key": name, "value": value} for name, value in found],
            "category": error.category.value,
            "reason": error.reason,
            "detail": detail,
            "field": error.field,
            "attempts": _attempts(found),
            "uid": uid if uid is not None and len(uid) == headers.UID_BYTES else None,
            "source": source.decode("utf-8", "replace") if source is not None else None,
            "failed_at": now_ms,
        }
        self._log(letter, now_ms)
        # All headers are inside the letter; only ours go on outside it, so that a huge one is not there twice.
        ours: Headers = [
            (name, value)
            for name, value in found
            if name in headers.CARRIED and value is not None and len(value) <= _MAX_HEADER_BYTES
        ]
        key = record.key()
        room = self._max_bytes - 2 * _ROOM_BYTES - 2 * sum(len(name) + len(value or b"") for name, value in ours)
        if _size(record, found) > room:
            key = self._cut(letter, record, found, room)
        return Outgoing(f"dlq.{self._stage}", key, self._encode(letter), ours, now_ms)

    @staticmethod
    def _cut(letter: dict[str, object], record: Record, found: Headers, room: int) -> bytes | None:
        """Shortens the letter to `room` bytes; returns the key it goes by."""
        key, value = record.key(), record.value()
        if 2 * len(key or b"") > room // 4:  # it stands in the letter and outside it
            letter["key"] = key = None
        kept = [(name, data) for name, data in found if len(name) + len(data or b"") <= _MAX_HEADER_BYTES]
        if _headers_size(found) > room // 4:
            letter["headers"] = [{"key": name, "value": data} for name, data in kept[:_MAX_HEADERS]]
        if value is not None and len(value) > room // 4:
            letter["value"], letter["value_size"] = value[: room // 4], len(value)
        return key

    def _log(self, letter: Mapping[str, object], now_ms: int) -> None:
        second, logged = self._logged
        logged = logged + 1 if second == now_ms // 1000 else 1
        self._logged = (now_ms // 1000, logged)
        if logged > _LOGGED_PER_S:
            return
        uid = letter["uid"]
        told = {name: letter[name] for name in ("topic", "partition", "offset", "source", "reason", "detail")}
        log.warning("dead letter", uid=uid.hex() if isinstance(uid, bytes) else None, **told)


def _headers_of(dead: Dead) -> tuple[Headers, str]:
    """What can be read of its headers, and the letter's detail, which tells of those that are lost."""
    try:
        return headers.of(dead.record), dead.error.detail
    except DataError as error:
        if error.reason == dead.error.reason:
            return [], dead.error.detail
        return [], f"{dead.error.detail}; and {error.detail}"


def _size(record: Record, found: Headers) -> int:
    """Bytes of a letter about it, its key standing there twice."""
    return 2 * len(record.key() or b"") + len(record.value() or b"") + _headers_size(found)


def _headers_size(found: Headers) -> int:
    return sum(len(name.encode("utf-8", "replace")) + len(value or b"") + 16 for name, value in found)


def _attempts(found: Headers) -> int:
    """How many times the stage has tried this record, this time included."""
    count = headers.last(found, headers.RETRY_COUNT)
    return 1 + (int(count) if count is not None and count.isdigit() and len(count) < 10 else 0)
