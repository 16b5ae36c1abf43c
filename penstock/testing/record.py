"""One stored record, with the read methods of `confluent_kafka.Message`."""

from collections.abc import Sequence

from penstock.stream.port import Headers

CREATE_TIME = 1
LOG_APPEND_TIME = 2
OVERHEAD_BYTES = 70
"""About what a record batch of one record weighs besides its key, value and headers."""


class MemoryRecord:
    __slots__ = ("_headers", "_key", "_offset", "_partition", "_replaced", "_timestamp", "_topic", "_value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        timestamp: tuple[int, int],
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._key = key
        self._value = value
        self._headers = headers
        self._timestamp = timestamp
        self._replaced: Headers | None = None

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        """Fails like the client's where a name is not UTF-8: one that holds a lone surrogate stands for it."""
        if self._replaced is not None:
            return self._replaced
        for name, _ in self._headers:
            if not name.isascii():
                _check(name)
        return list(self._headers) or None

    def set_headers(self, headers: Headers) -> None:
        self._replaced = headers

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def __repr__(self) -> str:
        return f"{self._topic}[{self._partition}]@{self._offset} key={self._key!r} value={self._value!r}"


def _check(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise SystemError("headers() returned a result with an exception set") from error


def size_bytes(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Roughly what a record weighs in a batch: what topic limits are measured against."""
    size = OVERHEAD_BYTES + len(key or b"") + len(value or b"")
    return size + sum(len(name) + len(content or b"") for name, content in headers)
