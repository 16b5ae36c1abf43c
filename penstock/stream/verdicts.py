"""What each error of the Kafka client leads to: the one place that decides.

librdkafka flags an error as retriable, fatal, or "the transaction must be aborted"; those flags come first. The table
below names the codes that the flags say too little about; the one in docs/reference.md is made from it.
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

_PASSING = (
    KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._WAIT_COORD, KafkaError._WAIT_CACHE, KafkaError._TIMED_OUT_QUEUE, KafkaError._RETRY,  # noqa: SLF001
    KafkaError._MSG_TIMED_OUT, KafkaError._DESTROY_BROKER, KafkaError._ISR_INSUFF,  # noqa: SLF001
    KafkaError.INVALID_MSG, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT, KafkaError.BROKER_NOT_AVAILABLE, KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.NOT_CONTROLLER, KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND, KafkaError.INVALID_FETCH_SESSION_EPOCH, KafkaError.LISTENER_NOT_FOUND,
    KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.THROTTLING_QUOTA_EXCEEDED,
)  # fmt: skip
"""The brokers' retriable errors (org.apache.kafka.common.protocol.Errors), and the client's own of that kind.
librdkafka flags them so only where it would repeat a request by itself, and an admin's or a reader's it does not."""

VERDICTS: dict[int, Verdict] = {
    **dict.fromkeys(_PASSING, Verdict(Category.TRANSIENT, _TRANSIENT)),
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
    KafkaError.INVALID_TIMESTAMP: Verdict(Category.SYSTEM, "stop: this machine's clock is ahead of the broker's"),
    KafkaError.MSG_SIZE_TOO_LARGE: Verdict(Category.PERMANENT, "stop: a record passed the stage's own size check"),
    KafkaError.RECORD_LIST_TOO_LARGE: Verdict(Category.PERMANENT, "stop: a record passed the stage's own size check"),
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
