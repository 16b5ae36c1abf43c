"""A plain read_committed reader: everything a topic holds, or everything as it comes, by the client alone."""

import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tests.chaos.judge import Seen

_TIMEOUT_S = 60.0
_FRAMING_BYTES = 5
_WITH_IDS = ("events.raw", "events.unique")
_CONFIG = {
    "group.id": "chaos.reader",  # the client wants one; nothing is committed to it
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "topic.metadata.refresh.interval.ms": 2000,
    "log_level": 0,
}


def read_all(bootstrap_servers: str, topic: str) -> list[Seen]:
    """All committed records up to the topic's present end, partition by partition."""
    consumer = Consumer({**_CONFIG, "bootstrap.servers": bootstrap_servers, "enable.partition.eof": True})
    try:
        left = _assign(consumer, topic)
        found: list[Seen] = []
        deadline_s = time.monotonic() + _TIMEOUT_S
        while left:
            message = consumer.poll(1.0)
            if message is not None and (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
            elif message is not None:
                found.append(_seen(message))
                deadline_s = time.monotonic() + _TIMEOUT_S
            assert time.monotonic() < deadline_s, f"{topic}: partitions {sorted(left)} have no end"
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


class LiveReader:
    """Reads a topic from its beginning for as long as the run lasts, in a thread of its own."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._config = {**_CONFIG, "bootstrap.servers": bootstrap_servers}
        self._topic = topic
        self._stop = threading.Event()
        self._last_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"reader of {topic}")
        self.seen: list[Seen] = []
        self.longest_silence_s = 0.0

    def __enter__(self) -> "LiveReader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(self._config)
        _assign(consumer, self._topic)
        while not self._stop.is_set():
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    self._take(message)
        consumer.close()

    def _take(self, message: Message) -> None:
        now_s = time.monotonic()
        if self._last_s is not None:
            self.longest_silence_s = max(self.longest_silence_s, now_s - self._last_s)
        self._last_s = now_s
        self.seen.append(_seen(message))


def _assign(consumer: Consumer, topic: str) -> set[int]:
    partitions = set(consumer.list_topics(topic, _TIMEOUT_S).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    return partitions


def _seen(message: Message) -> Seen:
    headers = dict(message.headers() or [])
    uid, source = headers.get("uid"), headers.get("source")
    key, value = message.key(), message.value()
    assert isinstance(uid, bytes | None)
    assert isinstance(source, bytes | None)
    assert isinstance(key, bytes | None)
    assert isinstance(value, bytes | None)
    return Seen(
        message.partition() or 0,
        message.offset() or 0,
        key or b"",
        uid or b"",
        message.timestamp()[1],
        source or b"",
        event_id(value or b"") if message.topic() in _WITH_IDS else b"",
    )


def event_id(value: bytes) -> bytes:
    """The first field of a framed Avro event, a string: zig-zag length, 7 bits a byte, then so many bytes.

    Empty where there is no framing.
    """
    if len(value) <= _FRAMING_BYTES or value[0] != 0:
        return b""
    length = shift = 0
    for at, byte in enumerate(value[_FRAMING_BYTES:], _FRAMING_BYTES + 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value[at : at + (length >> 1)]
    return b""
