"""What each error of the Kafka client leads to: the one place that decides.

librdkafka flags an error as retriable, fatal, or "the transaction must be aborted"; those flags come first. The table
below names the codes that the flags say too little about. the table in docs/reference.md is made from it.
"""

from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from penstock.errors import Category
from penstock.stream.port import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    category: Category
    consequence: str


_TRANSIENT = "wait with backoff and jitter, then go on"
_STOP = "stop with an explanation"

VERDICTS: dict[int, Verdict] = {
    KafkaError._ALL_BROKERS_DOWN: Verdict(Category.TRANSIENT, _TRANSIENT),  # noqa: SLF001  the client's public codes
    KafkaError._TRANSPORT: Verdict(Category.TRANSIENT, _TRANSIENT),  # noqa: SLF001
    KafkaError._TIMED_OUT: Verdict(Category.TRANSIENT, _TRANSIENT),  # noqa: SLF001
    KafkaError._RESOLVE: Verdict(Category.TRANSIENT, _TRANSIENT),  # noqa: SLF001
    KafkaError._WAIT_COORD: Verdict(Category.TRANSIENT, _TRANSIENT),  # noqa: SLF001
    KafkaError.NOT_COORDINATOR: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.COORDINATOR_NOT_AVAILABLE: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.NOT_LEADER_FOR_PARTITION: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.LEADER_NOT_AVAILABLE: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.FENCED_LEADER_EPOCH: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.UNKNOWN_LEADER_EPOCH: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.REQUEST_TIMED_OUT: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.NETWORK_EXCEPTION: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError._MAX_POLL_EXCEEDED: Verdict(Category.SYSTEM, "stop: the loop did not poll within max.poll.interval"),  # noqa: SLF001
    KafkaError._AUTO_OFFSET_RESET: Verdict(Category.SYSTEM, "stop: the offset to read from is gone or was never set"),  # noqa: SLF001
    KafkaError.OFFSET_OUT_OF_RANGE: Verdict(Category.SYSTEM, "stop: the offset to read from is gone"),
    KafkaError.UNKNOWN_TOPIC_OR_PART: Verdict(Category.SYSTEM, "stop: run `penstock topics apply`"),
    KafkaError._UNKNOWN_TOPIC: Verdict(Category.SYSTEM, "stop: run `penstock topics apply`"),  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_ID: Verdict(Category.SYSTEM, "stop: the topic was deleted or made again"),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Verdict(Category.SYSTEM, _STOP),
    KafkaError.GROUP_AUTHORIZATION_FAILED: Verdict(Category.SYSTEM, _STOP),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Verdict(Category.SYSTEM, _STOP),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Verdict(Category.SYSTEM, _STOP),
    KafkaError._AUTHENTICATION: Verdict(Category.SYSTEM, _STOP),  # noqa: SLF001
    KafkaError.KAFKA_STORAGE_ERROR: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.INVALID_TIMESTAMP: Verdict(Category.SYSTEM, "stop: this machine's clock is ahead of the broker's"),
    KafkaError.MSG_SIZE_TOO_LARGE: Verdict(Category.PERMANENT, "stop: a record passed the stage's own size check"),
    KafkaError.RECORD_LIST_TOO_LARGE: Verdict(Category.PERMANENT, "stop: a record passed the stage's own size check"),
    KafkaError.NOT_ENOUGH_REPLICAS: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.UNSTABLE_OFFSET_COMMIT: Verdict(Category.TRANSIENT, _TRANSIENT),
    KafkaError.UNSUPPORTED_VERSION: Verdict(Category.SYSTEM, "stop: the broker is older than Kafka 4.0"),
}


def verdict(error: KafkaError) -> Verdict:
    """The consequence of an error outside a transaction's end; an unknown one that is not retriable stops the stage."""
    if (known := VERDICTS.get(error.code())) is not None:
        return known
    if error.retriable():
        return Verdict(Category.TRANSIENT, _TRANSIENT)
    return Verdict(Category.PERMANENT, _STOP)


def outcome(error: KafkaError) -> Outcome:
    """How a transaction ended whose commit failed with this error."""
    if error.fatal():
        return Outcome.FENCED
    if error.txn_requires_abort():
        return Outcome.ABORTED
    if error.retriable() or error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001
        return Outcome.UNKNOWN
    return Outcome.FENCED


def cause(error: BaseException) -> KafkaError | None:
    """The client's own error inside an exception, if it is one of the client's."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return None
