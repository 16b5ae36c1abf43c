"""The least there is to copying, by the bare confluent-kafka client: what every other contender is compared with."""

import time
from typing import Protocol

from confluent_kafka import Consumer, Message, Producer

from loadtests.contender import COMMIT_EVERY_S, Job, Stopwatch, Told, serve
from penstock import collector
from penstock.stream import kafka_config
from penstock.stream.kafka_config import ClientSettings


class _Commits(Protocol):
    def begin(self) -> None: ...

    def commit(self) -> None: ...


class _ByTransaction:
    def __init__(self, consumer: Consumer, producer: Producer) -> None:
        self._consumer, self._producer = consumer, producer
        producer.init_transactions(30)

    def begin(self) -> None:
        self._producer.begin_transaction()

    def commit(self) -> None:
        positions = [p for p in self._consumer.position(self._consumer.assignment()) if p.offset >= 0]
        self._producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), 30)
        self._producer.commit_transaction(30)


class _AfterAcks:
    def __init__(self, consumer: Consumer, producer: Producer) -> None:
        self._consumer, self._producer = consumer, producer

    def begin(self) -> None:
        pass

    def commit(self) -> None:
        assert self._producer.flush(30) == 0
        positions = [p for p in self._consumer.position(self._consumer.assignment()) if p.offset >= 0]
        self._consumer.commit(offsets=positions, asynchronous=False)


def bare(job: Job) -> Told:
    """One thread: consume, produce, commit every 100 ms."""
    settings = ClientSettings(job.bootstrap_servers, job.name, (job.source,), job.name)
    consumer = Consumer(kafka_config.consumer(settings) | {"auto.offset.reset": "earliest"})
    config = kafka_config.transactional(settings)
    if not job.exactly_once:
        config = kafka_config.producer(job.bootstrap_servers, job.name)
    producer = Producer(config)
    commits: _Commits = (_ByTransaction if job.exactly_once else _AfterAcks)(consumer, producer)
    consumer.subscribe([job.source])
    if job.settled:
        collector.settle()
    watch, done, began_s = Stopwatch(), 0, 0.0
    while done < job.records:
        messages = consumer.consume(5000, 0.05)
        if messages and began_s == 0.0:
            watch.start()
            commits.begin()
            began_s = time.monotonic()
        done += _copy(messages, producer, job.target)
        if began_s and (time.monotonic() - began_s > COMMIT_EVERY_S or done >= job.records):
            commits.commit()
            began_s = 0.0
    watch.stop()
    consumer.close()
    return watch.told()


def _copy(messages: list[Message], producer: Producer, target: str) -> int:
    copied = 0
    for message in messages:
        if message.error() is not None:
            continue
        while True:
            try:
                producer.produce(
                    target,
                    message.value(),
                    message.key(),
                    headers=message.headers(),
                    timestamp=message.timestamp()[1],
                )
                break
            except BufferError:
                producer.poll(0.01)
        copied += 1
    producer.poll(0)
    return copied


if __name__ == "__main__":
    serve(bare)
