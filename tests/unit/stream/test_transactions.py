"""A transaction is never aborted once its commit has begun, whatever ends the process."""

import threading
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from penstock.errors import TransientError
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.port import Outcome, TopicPartition
from penstock.stream.transactions import Transactions

SETTINGS = ClientSettings("localhost:1", "g", (), "t")
TIMED_OUT = KafkaError._TIMED_OUT


class Client:
    """The calls that were made, and an answer to a commit that never comes."""

    def __init__(self, commits: bool) -> None:
        self._commits = commits
        self.calls: list[str] = []

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def commit_transaction(self, _timeout_s: float) -> None:
        self.calls.append("commit")
        if not self._commits:
            raise KafkaException(KafkaError(TIMED_OUT))

    def abort_transaction(self, _timeout_s: float) -> None:
        self.calls.append("abort")

    def flush(self, _timeout_s: float) -> int:
        self.calls.append("flush")
        return 0

    def send_offsets_to_transaction(self, *_args: object) -> None:
        self.calls.append("offsets")


def transactions(client: Client) -> Transactions:
    made = Transactions(SETTINGS)
    made._producer = cast("Producer", client)
    made.begin()
    return made


@pytest.mark.parametrize(
    ("commits", "outcome", "calls"),
    [(False, Outcome.UNKNOWN, ["begin", "commit"]), (True, Outcome.COMMITTED, ["begin", "commit", "abort"])],
)
def test_closing_aborts_nothing_that_a_commit_may_have_ended(commits: bool, outcome: Outcome, calls: list[str]) -> None:
    client = Client(commits)
    made = transactions(client)
    assert made.commit({}, None) is outcome
    made.close()
    assert client.calls == calls


def test_closing_aborts_what_is_open() -> None:
    client = Client(commits=True)
    transactions(client).close()
    assert client.calls == ["begin", "abort"]


class Hanging(Client):
    """Its coordinator is away, and it does not keep its time-out."""

    def __init__(self) -> None:
        super().__init__(commits=True)
        self.back = threading.Event()

    def send_offsets_to_transaction(self, *args: object) -> None:
        super().send_offsets_to_transaction(*args)
        self.back.wait()


def test_a_client_that_hangs_is_given_up_and_its_transaction_left_to_the_producer_that_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock.stream.transactions._GIVEN_UP_AFTER_S", 0.01)
    client = Hanging()
    made = transactions(client)
    assert made.commit({TopicPartition("in", 0): 1}, None) is Outcome.FENCED
    with pytest.raises(TransientError, match="no live transactional producer"):
        made.begin()
    made.close()
    client.back.set()
    assert client.calls == ["begin", "flush", "offsets"], "neither committed nor aborted"


def test_nothing_is_on_its_way_any_more_when_the_group_may_refuse_the_offsets() -> None:
    client = Client(commits=True)
    assert transactions(client).commit({TopicPartition("in", 0): 1}, None) is Outcome.COMMITTED
    assert client.calls == ["begin", "flush", "offsets", "commit"]
