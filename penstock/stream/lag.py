"""How far each group is behind the last stable offset of its inputs, asked of the broker itself."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported, untyped

from penstock.stream import kafka_config
from penstock.stream.offsets import committed_now, listed
from penstock.stream.port import TopicPartition
from penstock.stream.transactions import explain

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Behind:
    """`committed` is the group's stable offset, None where it never committed; `end` the last stable offset."""

    committed: int | None
    end: int

    @property
    def records(self) -> int:
        """At most so many: transaction markers are counted like records."""
        return self.end - (self.committed or 0)


class LagReader:
    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._reader_config = kafka_config.reader(bootstrap_servers, "penstock.lag")
        self._admin: AdminClient | None = None

    async def of(self, groups: Mapping[str, Sequence[str]]) -> dict[str, dict[TopicPartition, Behind]]:
        """For each group and its input topics.

        Raises:
            TransientError: the broker is away.
        """
        return await asyncio.to_thread(self._of, groups)

    async def drained(self, behind: Mapping[TopicPartition, Behind]) -> bool:
        """Whether nothing is left to read: at the end, or with nothing but transaction markers before it."""
        left = {tp: one for tp, one in behind.items() if one.records > 0}
        return not left or await asyncio.to_thread(self._only_markers, left)

    def _of(self, groups: Mapping[str, Sequence[str]]) -> dict[str, dict[TopicPartition, Behind]]:
        admin = self._admin = self._admin or AdminClient(kafka_config.base(self._servers, "penstock.lag"))
        try:
            known = admin.list_topics(timeout=_TIMEOUT_S).topics
            partitions = [
                TopicPartition(topic, partition)
                for topic in {topic for topics in groups.values() for topic in topics if topic in known}
                for partition in known[topic].partitions
            ]
            committed = {
                group: committed_now(self._servers, group, [tp for tp in partitions if tp.topic in topics])
                for group, topics in groups.items()
            }
            # Ends after commits: a lag is then never told smaller than it is.
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client has no types here
            asked = admin.list_offsets(
                {KafkaPartition(*tp): latest for tp in partitions},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=_TIMEOUT_S,
            )
            ends = listed(asked)
        except KafkaException as error:
            self._admin = None  # it would go on asking a leader that is none any more
            raise explain(error, "reading the lag of the groups") from error
        return {
            group: {tp: Behind(committed[group].get(tp), ends[tp]) for tp in sorted(partitions) if tp.topic in topics}
            for group, topics in groups.items()
        }

    def _only_markers(self, behind: Mapping[TopicPartition, Behind]) -> bool:
        consumer = Consumer(self._reader_config)
        try:
            consumer.assign([KafkaPartition(*tp, one.committed or 0) for tp, one in behind.items()])
            ended: set[TopicPartition] = set()
            while len(ended) < len(behind):
                message = consumer.poll(_TIMEOUT_S)
                if message is None or message.error() is None:
                    return False
                ended.add(TopicPartition(str(message.topic()), message.partition() or 0))
            return True
        finally:
            consumer.close()
