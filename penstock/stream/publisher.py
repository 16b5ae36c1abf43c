"""Records written without a transaction: acknowledged by all replicas, in order, not doubled by our retries."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from penstock.errors import DataError, PenstockError, TransientError
from penstock.stream import kafka_config
from penstock.stream.port import Outgoing
from penstock.stream.transactions import explain

_REFUSED_SIZE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


class Publisher(Protocol):
    async def publish(self, batch: Sequence[Outgoing]) -> list[PenstockError | None]:
        """Returns when each record is acknowledged or given up, with an entry for each: None is an ack."""
        ...


class _Batch:
    """The acks a batch still waits for."""

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = size
        self._lock = threading.Lock()
        self.results: list[PenstockError | None] = [None] * size
        self.done: asyncio.Future[None] = self._loop.create_future()

    def settle(self, index: int, error: KafkaError | None) -> None:
        """From the polling thread, or at once where the client refuses the record."""
        if error is not None:
            self.results[index] = _refusal(error)
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class KafkaPublisher:
    """
    Args:
        timeout_s: after so long without an ack a record is given up, with a `TransientError`: it may be in
            all the same, so give it again as the same event.
        quiet: the client's own complaints about brokers that are away are left out, for a command that has its own.
    """

    def __init__(self, bootstrap_servers: str, client_id: str, *, timeout_s: float = 5.0, quiet: bool = False) -> None:
        config = kafka_config.producer(bootstrap_servers, client_id) | ({"log_level": 0} if quiet else {})
        self._producer = Producer(config | {"message.timeout.ms": int(timeout_s * 1000), "linger.ms": 2})
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"{client_id}.acks", daemon=True)
        self._thread.start()

    async def publish(self, batch: Sequence[Outgoing]) -> list[PenstockError | None]:
        if not batch:
            return []
        waiting = _Batch(len(batch))
        for index, (topic, key, value, headers, timestamp_ms, partition) in enumerate(batch):
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    headers=headers,  # type: ignore[arg-type]  # invariance only
                    timestamp=timestamp_ms,
                    on_delivery=partial(_settle, waiting, index),
                )
            except BufferError:
                full = TransientError("the producer's queue is full: the broker is slower than what comes in")
                self._refuse(waiting, index, full)
            except KafkaException as error:
                self._refuse(waiting, index, _refusal(error.args[0]))
        await waiting.done
        return waiting.results

    async def close(self) -> None:
        """Waits for what is under way."""
        await asyncio.to_thread(self._producer.flush, 10.0)
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _refuse(self, waiting: _Batch, index: int, error: PenstockError) -> None:
        waiting.results[index] = error
        waiting.settle(index, None)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(0.1)


def _settle(waiting: _Batch, index: int, error: KafkaError | None, _: Message) -> None:
    waiting.settle(index, error)


def _refusal(error: KafkaError) -> PenstockError:
    if error.code() in _REFUSED_SIZE:
        return DataError("too-large", "the record is larger than its topic allows")
    if error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001  the client's public codes
        return TransientError("the broker did not acknowledge in time")
    return explain(KafkaException(error), "writing a record")
