"""A topic made just now has partitions whose leaders do not know it yet."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

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


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART])
async def test_offsets_are_asked_for_until_a_leader_knows_them(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    not_yet = KafkaException(KafkaError(code))
    assert await reader(monkeypatch, not_yet, OFFSET_INVALID, 7).ends([PARTITION]) == {PARTITION: 7}
