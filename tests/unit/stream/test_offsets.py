"""An answer without an offset is none."""

from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from penstock.errors import TransientError
from penstock.stream.offsets import listed
from penstock.stream.port import TopicPartition
from penstock.stream.transactions import explain


@dataclass
class Info:
    """Stands for the client's ListOffsetsResultInfo."""

    offset: int


def answers(*offsets: int) -> dict[KafkaPartition, "Future[Info]"]:
    asked = {}
    for number, offset in enumerate(offsets):
        asked[KafkaPartition("t", number)] = answer = Future[Info]()
        answer.set_result(Info(offset))
    return asked


def test_offsets_come_by_partition() -> None:
    assert listed(answers(0, 7)) == {TopicPartition("t", 0): 0, TopicPartition("t", 1): 7}


def test_a_partition_of_which_nothing_was_told_is_asked_for_again() -> None:
    with pytest.raises(KafkaException, match=r"no offset was told of t\[1\]") as raised:
        listed(answers(3, OFFSET_INVALID))
    assert isinstance(explain(raised.value, "listing offsets"), TransientError)
