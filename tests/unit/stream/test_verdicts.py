"""What the client's errors lead to."""

import pytest
from confluent_kafka import KafkaError

from penstock.errors import Category
from penstock.stream.verdicts import verdict

AWAY_FOR_A_MOMENT = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
)


@pytest.mark.parametrize("code", AWAY_FOR_A_MOMENT)
def test_a_coordinator_or_leader_that_moves_is_waited_for_though_the_client_does_not_call_it_retriable(
    code: int,
) -> None:
    assert verdict(KafkaError(code)).category is Category.TRANSIENT
