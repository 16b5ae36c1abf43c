"""What the client's errors lead to: and what no broker here can be made to tell."""

import errno

import pytest
from confluent_kafka import KafkaError, KafkaException

from penstock.errors import BrokerError, Category, PenstockError, PermanentError, SystemFaultError, classify
from penstock.stream import verdicts
from penstock.stream.port import Outcome
from penstock.stream.transactions import explain
from penstock.stream.verdicts import Verdict, ending, verdict

LOST_COUNT = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
"""An error that no row names."""


def of(row: Verdict) -> list[type[PenstockError]]:
    """What each code of a row is raised as, outside a commit, without any flag of the client's."""
    return [type(explain(KafkaException(KafkaError(code)), "reading")) for code in row.codes]


@pytest.mark.verdict("broker or network away")
def test_a_broker_that_is_away_is_waited_for() -> None:
    assert KafkaError._TRANSPORT in verdicts.AWAY.codes
    assert set(of(verdicts.AWAY)) == {BrokerError}


@pytest.mark.verdict("coordinator moved")
@pytest.mark.verdict("leader moved")
def test_a_coordinator_or_leader_that_moves_is_waited_for_though_the_client_does_not_call_it_retriable() -> None:
    assert KafkaError.NOT_COORDINATOR in verdicts.COORDINATOR.codes
    assert KafkaError.NOT_LEADER_FOR_PARTITION in verdicts.LEADER.codes
    assert KafkaError._NOENT in verdicts.LEADER.codes, "what listing offsets says where no leader is known"
    assert set(of(verdicts.COORDINATOR) + of(verdicts.LEADER)) == {BrokerError}


@pytest.mark.verdict("too few replicas")
@pytest.mark.verdict("busy")
@pytest.mark.verdict("out of disk at a broker")
def test_a_broker_that_cannot_now_is_waited_for() -> None:
    assert KafkaError.KAFKA_STORAGE_ERROR in verdicts.BROKER_DISK.codes
    assert set(of(verdicts.REPLICAS) + of(verdicts.BUSY) + of(verdicts.BROKER_DISK)) == {BrokerError}


@pytest.mark.verdict("retriable")
def test_what_the_client_would_try_again_is_waited_for() -> None:
    assert verdict(KafkaError(LOST_COUNT, retriable=True)).category is Category.TRANSIENT
    assert verdict(KafkaError(LOST_COUNT)).category is Category.PERMANENT


@pytest.mark.verdict("unknown member")
@pytest.mark.parametrize("code", verdicts.MEMBER.codes)
def test_a_member_that_the_group_does_not_know_aborts_and_joins_again(code: int) -> None:
    outcome, found = ending(KafkaError(code, txn_requires_abort=True))
    assert (outcome, found.category) == (Outcome.ABORTED, Category.TRANSIENT)
    assert of(verdicts.MEMBER) == [BrokerError] * len(verdicts.MEMBER.codes)


@pytest.mark.verdict("unknown commit")
@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._TIMED_OUT),
        KafkaError(KafkaError._TIMED_OUT, retriable=True),
        KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True),
        KafkaError(KafkaError._TRANSPORT, retriable=True),
    ],
)
def test_how_a_commit_ended_that_may_be_called_again_is_unknown(error: KafkaError) -> None:
    assert ending(error) == (Outcome.UNKNOWN, verdicts.UNKNOWN)


@pytest.mark.verdict("abortable")
@pytest.mark.parametrize("code", [KafkaError.TRANSACTION_ABORTABLE, LOST_COUNT, KafkaError._MSG_TIMED_OUT])
def test_what_the_client_wants_aborted_is_aborted_and_comes_again(code: int) -> None:
    outcome, found = ending(KafkaError(code, txn_requires_abort=True))
    assert (outcome, found.category) == (Outcome.ABORTED, Category.TRANSIENT)


@pytest.mark.verdict("fenced")
@pytest.mark.parametrize("code", verdicts.FENCED.codes)
def test_a_fenced_producer_is_replaced(code: int) -> None:
    assert ending(KafkaError(code, fatal=True)) == (Outcome.FENCED, verdicts.FENCED)
    assert set(of(verdicts.FENCED)) == {BrokerError}, "where it is met while starting, it is tried again"


@pytest.mark.verdict("fatal")
@pytest.mark.parametrize("error", [KafkaError(LOST_COUNT, fatal=True), KafkaError(LOST_COUNT)])
def test_a_producer_that_cannot_go_on_is_replaced(error: KafkaError) -> None:
    assert ending(error) == (Outcome.FENCED, verdicts.FATAL)


def test_a_flag_comes_before_a_code() -> None:
    """A producer whose fatal error has a passing code is done for all the same."""
    code = KafkaError.NOT_COORDINATOR
    assert ending(KafkaError(code, fatal=True, retriable=True, txn_requires_abort=True))[0] is Outcome.FENCED
    assert ending(KafkaError(code, retriable=True, txn_requires_abort=True))[0] is Outcome.ABORTED


@pytest.mark.verdict("too large")
@pytest.mark.verdict("record refused")
@pytest.mark.verdict("invalid timestamp")
@pytest.mark.verdict("authorization")
@pytest.mark.parametrize(
    ("row", "category"),
    [
        (verdicts.TOO_LARGE, Category.PERMANENT),
        (verdicts.REFUSED, Category.SYSTEM),
        (verdicts.TIMESTAMP, Category.SYSTEM),
        (verdicts.DELETED, Category.SYSTEM),
        (verdicts.AUTHORIZATION, Category.SYSTEM),
    ],
)
def test_what_would_be_refused_again_is_aborted_and_stops_the_stage(row: Verdict, category: Category) -> None:
    for code in row.codes:
        outcome, found = ending(KafkaError(code, txn_requires_abort=True))
        assert (outcome, found.category) == (Outcome.ABORTED, category)


@pytest.mark.verdict("topic deleted")
@pytest.mark.verdict("authorization")
@pytest.mark.verdict("offset gone")
@pytest.mark.verdict("thrown out of the group")
@pytest.mark.verdict("broker too old")
@pytest.mark.parametrize(
    "row",
    [verdicts.DELETED, verdicts.AUTHORIZATION, verdicts.OFFSET_GONE, verdicts.NOT_POLLED, verdicts.TOO_OLD],
)
def test_what_a_person_has_to_mend_stops_the_process_with_what_to_do(row: Verdict) -> None:
    assert of(row) == [SystemFaultError] * len(row.codes)
    error = explain(KafkaException(KafkaError(row.codes[0])), "reading events.raw[3]")
    assert str(error).startswith("reading events.raw[3]: ")
    assert str(error).endswith(row.consequence)


@pytest.mark.verdict("topic made again")
def test_a_topic_of_another_id_stops_the_stage() -> None:
    assert of(verdicts.RECREATED) == [PermanentError] * len(verdicts.RECREATED.codes)


@pytest.mark.verdict("out of disk here")
def test_a_machine_without_disk_stops_the_process() -> None:
    assert of(verdicts.OWN_DISK) == [SystemFaultError] * len(verdicts.OWN_DISK.codes)
    assert classify(OSError(errno.ENOSPC, "No space left on device")) is verdicts.OWN_DISK.category


@pytest.mark.verdict("unforeseen")
def test_an_error_that_nobody_foresaw_stops_rather_than_guesses() -> None:
    assert verdict(KafkaError(LOST_COUNT)) is verdicts.UNFORESEEN
    assert type(explain(KafkaException(KafkaError(LOST_COUNT)), "x")) is PermanentError
    assert type(explain(KafkaException("no error of the client's"), "x")) is PermanentError


def test_no_code_is_in_two_rows() -> None:
    codes = [code for row in verdicts.ROWS for code in row.codes]
    assert len(codes) == len(set(codes)) == len(verdicts.VERDICTS)
