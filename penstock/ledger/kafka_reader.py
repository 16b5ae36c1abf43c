"""Reads whole topics from outside: committed records only, without a group, up to an end taken beforehand.

A bare consumer, not the broker port: the ledger must not trust the machinery that it judges.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec  # type: ignore[attr-defined]  # re-exported, untyped
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from penstock.errors import SystemFaultError, TransientError
from penstock.stream import kafka_config
from penstock.stream.offsets import listed
from penstock.stream.port import TopicPartition
from penstock.stream.topic_id import topic_id_text

_CLIENT = "penstock.ledger"
_ADMIN_TIMEOUT_S = 10.0
# A topic made just now has no leader yet, or one that does not know it; the client does not ask a second time.
_patiently = retry(
    retry=retry_if_exception_type(TransientError),
    wait=wait_exponential_jitter(multiplier=0.1, max=1.0, jitter=0.1),
    stop=stop_after_delay(_ADMIN_TIMEOUT_S),
    reraise=True,
)
_STALL_S = 30.0
_QUIET: kafka_config.Config = {"log_level": 0}  # what went wrong is told by our own errors
# A fetch that waits for more on the topic before would hold up the first fetch of the next one.
_QUICK: kafka_config.Config = {"fetch.wait.max.ms": 10}

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """`topic_id` is as dead letters state it: what a topic that was deleted and made again does not keep."""

    topic: str
    topic_id: str
    partitions: tuple[TopicPartition, ...]


class KafkaReader:
    """One consumer and one admin client, made at first use; `close` it.

    Raises, from every call:
        TransientError: the broker is away.
        SystemFaultError: a topic does not exist, or its records went while they were read.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._admin_client: AdminClient | None = None
        self._consumer: Consumer | None = None

    async def facts(self, topics: Collection[str]) -> dict[str, TopicFacts]:
        return await asyncio.to_thread(self._facts, topics)

    async def retention_ms(self, topics: Collection[str]) -> dict[str, int | None]:
        """How long each topic keeps a record; None where it is not bounded by time."""
        return await asyncio.to_thread(self._retention_ms, topics)

    async def begins(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offsets that were not deleted."""
        return await asyncio.to_thread(self._list, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # untyped client

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The last stable offsets: all before them is committed or rolled back."""
        return await asyncio.to_thread(self._list, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # untyped client

    async def read(self, starts: Offsets, ends: Offsets, *, chunk: int) -> AsyncIterator[list[Message]]:
        """Every committed record of `[start, end)` of each partition, in chunks of at most about `chunk`; within a
        partition in its order."""
        chunks = self._read(starts, ends, chunk)
        while (records := await asyncio.to_thread(next, chunks, None)) is not None:
            yield records

    async def close(self) -> None:
        if self._consumer is not None:
            await asyncio.to_thread(self._consumer.close)

    def _read(self, starts: Offsets, ends: Offsets, chunk: int) -> Iterator[list[Message]]:
        waiting = {tp: end for tp, end in ends.items() if starts[tp] < end}
        if not waiting:
            return
        consumer = self._reader()
        for topic in {tp.topic for tp in waiting}:
            # Otherwise a client that is at work looks for the leaders of a new topic only once a second.
            self._look_up(consumer, topic)
        consumer.unassign()  # what an earlier read that failed has left
        consumer.incremental_assign([KafkaPartition(*tp, starts[tp]) for tp in sorted(waiting)])
        silent_s = 0.0
        while waiting:
            fetched = consumer.consume(chunk, 0.1)
            silent_s = 0.0 if fetched else silent_s + 0.1
            if silent_s >= _STALL_S:
                raise TransientError(
                    f"nothing came from Kafka at {self._bootstrap_servers} for {_STALL_S:.0f} s while reading"
                    f" {', '.join(str(tp) for tp in sorted(waiting))}; is it running (`penstock status`)?"
                )
            records = []
            for message in fetched:
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
                    raise _explain(error, f"reading {message.topic()}[{message.partition()}]")
                at = TopicPartition(message.topic() or "", message.partition() or 0)
                offset, end = message.offset() or 0, waiting.get(at)
                if end is None:
                    continue  # fetched ahead
                if error is None and offset < end:
                    records.append(message)
                # The end of a partition lies behind its last transaction marker, which is never delivered.
                if offset >= (end if error is not None else end - 1):
                    del waiting[at]
                    consumer.incremental_unassign([KafkaPartition(*at)])
            if records:
                yield records

    def _look_up(self, consumer: Consumer, topic: str) -> None:
        try:
            consumer.list_topics(topic, timeout=_ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise _explain(error.args[0], f"looking for topic {topic}") from error

    def _reader(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(kafka_config.reader(self._bootstrap_servers, _CLIENT) | _QUIET | _QUICK)
        return self._consumer

    def _admin(self) -> AdminClient:
        if self._admin_client is None:
            self._admin_client = AdminClient(kafka_config.base(self._bootstrap_servers, _CLIENT) | _QUIET)
        return self._admin_client

    def _facts(self, topics: Collection[str]) -> dict[str, TopicFacts]:
        answers = self._admin().describe_topics(TopicCollection(list(topics)), request_timeout=_ADMIN_TIMEOUT_S)
        facts = {}
        for topic, answer in answers.items():
            try:
                described = answer.result()
            except KafkaException as error:
                raise _explain(error.args[0], f"describing topic {topic}") from error
            partitions = tuple(TopicPartition(topic, partition.id) for partition in described.partitions)
            facts[topic] = TopicFacts(topic, topic_id_text(described.topic_id), partitions)
        return facts

    def _retention_ms(self, topics: Collection[str]) -> dict[str, int | None]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        answers = self._admin().describe_configs(resources, request_timeout=_ADMIN_TIMEOUT_S)
        found: dict[str, int | None] = {}
        for resource, answer in answers.items():
            try:
                entry = answer.result()["retention.ms"]
            except KafkaException as error:
                raise _explain(error.args[0], f"reading the settings of topic {resource.name}") from error
            kept_ms = int(entry.value)
            found[resource.name] = kept_ms if kept_ms >= 0 else None
        return found

    @_patiently
    def _list(self, partitions: Collection[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        answers = self._admin().list_offsets(
            {KafkaPartition(*tp): spec for tp in partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_ADMIN_TIMEOUT_S,
        )
        try:
            return listed(answers)
        except KafkaException as error:
            self._admin_client = None  # it would go on asking a leader that is none any more
            # Whoever asks has seen the topics: one that is unknown here is not known to its leader yet.
            raise _away(error.args[0], "listing offsets") from error


def _explain(error: KafkaError, doing: str) -> TransientError | SystemFaultError:
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):  # noqa: SLF001  its public name
        return SystemFaultError(f"{doing}: it does not exist; create the topics with `penstock topics apply`")
    if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):  # noqa: SLF001  likewise
        return SystemFaultError(f"{doing}: its oldest records were deleted meanwhile; run the command again")
    return _away(error, doing)


def _away(error: KafkaError, doing: str) -> TransientError:
    return TransientError(f"{doing}: {error.str()}; is Kafka running (`penstock status`)?")
