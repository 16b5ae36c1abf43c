"""A topic made just now has partitions whose leaders do not know it yet."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from penstock.errors import SystemFaultError
from penstock.ledger.kafka_reader import KafkaReader
from penstock.stream.port import TopicPartition

PARTITION = TopicPartition("t", 0)


@dataclass
class Info:
    """Stands for the client's ListOffsetsResultInfo."""

    offset: int


class Admin:
    """Stands for the client's AdminClient, which gives these answers one after the other."""

    def __init__(self, *answers: int | KafkaException) -> None:
        self._answers = list(answers)

    def list_offsets(self, partitions: Iterable[KafkaPartition], **_: object) -> dict[KafkaPartition, "Future[Info]"]:
        answer, told = self._answers.pop(0), Future[Info]()
        if isinstance(answer, KafkaException):
            told.set_exception(answer)
        else:
            told.set_result(Info(answer))
        return dict.fromkeys(partitions, told)


def reader(monkeypatch: pytest.MonkeyPatch, *answers: int | KafkaException) -> KafkaReader:
    admin = Admin(*answers)
    monkeypatch.setattr("penstock.ledger.kafka_reader.AdminClient", lambda _: admin)
    return KafkaReader("localhost:9092")


async def test_offsets_are_asked_for_until_there_is_a_leader_to_tell_them(monkeypatch: pytest.MonkeyPatch) -> None:
    no_leader = KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
    assert await reader(monkeypatch, no_leader, OFFSET_INVALID, 7).ends([PARTITION]) == {PARTITION: 7}


async def test_a_topic_that_does_not_exist_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(SystemFaultError, match="penstock topics apply"):
        await reader(monkeypatch, missing, 7).ends([PARTITION])
