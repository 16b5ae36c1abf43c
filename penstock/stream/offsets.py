"""A group's offsets, seen and set from outside the group.

By a consumer that never joins: the admin client's calls for it end the process with a segmentation fault when the
group's coordinator moves or is just loading (librdkafka 2.16, rd_kafka_handle_OffsetFetch wants a consumer).
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from penstock.stream import kafka_config, port

_REQUEST_S = 10.0

Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


def listed(answers: Mapping[TopicPartition, "Future[Any]"]) -> dict[port.TopicPartition, int]:
    """What the admin client's list_offsets was answered.

    Raises:
        KafkaException: also where an answer holds no offset: that of a partition whose leader changes just then
            is -1001, and no error (librdkafka 2.16).
    """
    found = {port.TopicPartition(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}
    if unknown := [str(at) for at, offset in found.items() if offset < 0]:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no offset was told of {', '.join(unknown)}"))
    return found


async def committed(bootstrap_servers: str, group: str, places: Sequence[Place]) -> dict[Place, int | None]:
    """The offsets that a group has committed, no transaction being open on them; None where it has none.

    Raises:
        KafkaException: the brokers, or the group's coordinator, are away for 10 s.
    """
    return await asyncio.to_thread(committed_now, bootstrap_servers, group, places)


def committed_now(bootstrap_servers: str, group: str, places: Sequence[Place]) -> dict[Place, int | None]:
    """`committed`, for callers in a thread of their own."""
    if not places:
        return {}
    with _outsider(bootstrap_servers, group) as consumer:
        found = consumer.committed([TopicPartition(*place) for place in places], timeout=_REQUEST_S)
    _raise_first(found)
    return {(at.topic, at.partition): at.offset if at.offset >= 0 else None for at in found}


async def commit(bootstrap_servers: str, group: str, offsets: Mapping[Place, int]) -> None:
    """Commits offsets for a group that has no members, and may not exist yet.

    Raises:
        KafkaException: as `committed`, or the group has members.
    """

    def ask() -> None:
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        with _outsider(bootstrap_servers, group) as consumer:
            _raise_first(consumer.commit(offsets=wanted, asynchronous=False) or ())

    await asyncio.to_thread(ask)


def _raise_first(answered: Sequence[TopicPartition]) -> None:
    for at in answered:
        if at.error is not None:
            raise KafkaException(at.error)


@contextmanager
def _outsider(bootstrap_servers: str, group: str) -> Iterator[Consumer]:
    config = kafka_config.base(bootstrap_servers, "penstock.topics") | {
        "group.id": group,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "log_level": 0,
    }
    consumer = Consumer(config)
    try:
        yield consumer
    finally:
        consumer.close()
