"""What each error that a loop can meet leads to: the one place that decides.

librdkafka flags an error as retriable, fatal, or "the transaction must be aborted"; at a transaction's end those flags
come first. Everywhere else, and where a flag says too little, the error's code decides. The tables in
docs/guarantees.md and docs/reference.md are made from `ROWS`; every row has a test that claims it by
`@pytest.mark.verdict("its name")`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from penstock.errors import BrokerError, Category, PermanentError, SystemFaultError
from penstock.stream.port import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table.

    Args:
        consequence: for the person who reads it, in the table or behind an error's text.
        codes: the client's; the first underscore of its name says that the client itself, not a broker, found it.
        told_by: what tells where it is not a code.
    """

    name: str
    category: Category
    consequence: str
    codes: tuple[int, ...] = ()
    told_by: str = ""

    def error(self, text: str) -> BrokerError | PermanentError | SystemFaultError:
        """What to raise for it; `text` says what happened to what."""
        full = f"{text}; {self.consequence}"
        match self.category:
            case Category.TRANSIENT | Category.THROTTLED:
                return BrokerError(full, cause=self.name)
            case Category.SYSTEM:
                return SystemFaultError(full)
            case _:
                return PermanentError(full)


def _codes(names: str) -> tuple[int, ...]:
    return tuple(int(getattr(KafkaError, name)) for name in names.split())


def _passing(name: str, codes: str, told_by: str = "") -> Verdict:
    return Verdict(name, Category.TRANSIENT, "wait with backoff and jitter, then go on", _codes(codes), told_by)


def _stop(name: str, codes: str, why: str, told_by: str = "", category: Category = Category.SYSTEM) -> Verdict:
    return Verdict(name, category, f"stop: {why}", _codes(codes), told_by)


# What passes by itself: all that the brokers call retriable (org.apache.kafka.common.protocol.Errors), and the client's
# own of that kind. librdkafka flags them so only where it would repeat a request by itself, and an admin's or a
# reader's request it does not.
AWAY = _passing(
    "broker or network away",
    "_ALL_BROKERS_DOWN _TRANSPORT _TIMED_OUT _RESOLVE _WAIT_CACHE _TIMED_OUT_QUEUE _RETRY _MSG_TIMED_OUT"
    " _DESTROY_BROKER REQUEST_TIMED_OUT BROKER_NOT_AVAILABLE NETWORK_EXCEPTION LISTENER_NOT_FOUND INVALID_MSG"
    " FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH",
)
COORDINATOR = _passing(
    "coordinator moved", "_WAIT_COORD NOT_COORDINATOR COORDINATOR_NOT_AVAILABLE COORDINATOR_LOAD_IN_PROGRESS"
)
LEADER = _passing(
    "leader moved",
    "LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE"
    " REPLICA_NOT_AVAILABLE NOT_CONTROLLER _NOENT",  # the last: "No leaders found", from an admin's request
)
REPLICAS = _passing("too few replicas", "NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND _ISR_INSUFF")
BUSY = _passing("busy", "CONCURRENT_TRANSACTIONS UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED")
BROKER_DISK = _passing("out of disk at a broker", "KAFKA_STORAGE_ERROR")
MEMBER = Verdict(
    "unknown member",
    Category.TRANSIENT,
    "the group has gone on without us: abort, join again, and go on with the partitions it gives",
    _codes("UNKNOWN_MEMBER_ID ILLEGAL_GENERATION FENCED_MEMBER_EPOCH STALE_MEMBER_EPOCH REBALANCE_IN_PROGRESS"),
)
RETRIABLE = _passing("retriable", "", "the client's flag, outside a commit")

# How a transaction ends.
_ANEW = "a new producer, which aborts what is open; state dropped and restored, on from the stable offset"
UNKNOWN = Verdict(
    "unknown commit",
    Category.TRANSIENT,
    "the same commit again until the Deadline, then a new producer; never an abort",
    told_by="a retriable error or a time-out of a commit",
)
ABORTABLE = Verdict(
    "abortable",
    Category.TRANSIENT,
    "abort, and the same records again from the last commit",
    _codes("TRANSACTION_ABORTABLE"),
    "the client's flag",
)
FENCED = Verdict(
    "fenced", Category.TRANSIENT, _ANEW, _codes("_FENCED PRODUCER_FENCED INVALID_PRODUCER_EPOCH"), "a successor"
)
FATAL = Verdict("fatal", Category.TRANSIENT, _ANEW, told_by="the client's flag, or any other error of a commit")

# What a person has to mend. Met inside a transaction, it is aborted first.
TOO_LARGE = _stop(
    "too large",
    "MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE INVALID_MSG_SIZE",
    "a record passed the stage's own size check: the topic takes less than it should; run `penstock topics apply`",
    category=Category.PERMANENT,
)
REFUSED = _stop(
    "record refused",
    "INVALID_RECORD POLICY_VIOLATION TOPIC_EXCEPTION UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "the topic's configuration does not take what this stage writes; run `penstock topics apply`: it says what differs",
)
TIMESTAMP = _stop(
    "invalid timestamp",
    "INVALID_TIMESTAMP",
    "this machine's clock and the broker's differ too much; have both set by NTP",
)
DELETED = _stop(
    "topic deleted", "UNKNOWN_TOPIC_OR_PART _UNKNOWN_TOPIC _UNKNOWN_PARTITION", "run `penstock topics apply`"
)
RECREATED = _stop(
    "topic made again",
    "UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID",
    "it was deleted and made again. Its state does not fit; delete its changelog too, then `penstock topics apply`",
    "the topic id in the changelog",
    Category.PERMANENT,
)
REPLACED = _stop(
    "topic made again meanwhile",
    "",
    "what it had not read of the old one is gone; start it again, to read the new one from its committed offset",
    "the topic's id, whenever one of its partitions is started",
    Category.PERMANENT,
)
NO_OFFSET = _stop(
    "no committed offset",
    "",
    "a first start is made explicit by `penstock topics apply`, which commits offset 0 on the topics it creates; if the"
    " offset expired, set it yourself with Kafka's kafka-consumer-groups --reset-offsets",
    "the group has none for a partition",
    Category.PERMANENT,
)
DIFFERS = _stop(
    "state and offset differ",
    "",
    "offsets or changelog were changed by hand; reset both or restore them together",
    "the next input offset in the changelog",
    Category.PERMANENT,
)
OFFSET_GONE = _stop(
    "offset gone",
    "_AUTO_OFFSET_RESET OFFSET_OUT_OF_RANGE",
    "the offset to read from is gone or was never set; start it again, it then says what is wrong with its offset",
)
NOT_POLLED = _stop(
    "thrown out of the group", "_MAX_POLL_EXCEEDED", "the loop did not poll within max.poll.interval; start it again"
)
AUTHORIZATION = _stop(
    "authorization",
    "TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    " CLUSTER_AUTHORIZATION_FAILED _AUTHENTICATION SASL_AUTHENTICATION_FAILED _SSL",
    "the broker does not let us; give this user the rights that the text names",
)
OWN_DISK = _stop(
    "out of disk here",
    "_FS _CRIT_SYS_RESOURCE",
    "this machine lacks disk, memory or file handles; free some, then start it again",
    "an OSError",
)
TOO_OLD = _stop(
    "broker too old", "UNSUPPORTED_VERSION _UNSUPPORTED_FEATURE UNSUPPORTED_ASSIGNOR", "it is older than Kafka 4.0"
)
UNFORESEEN = _stop(
    "unforeseen",
    "",
    "nobody foresaw this error, and stopping beats guessing; start it again",
    "any other error",
    Category.PERMANENT,
)

ROWS = (
    AWAY, COORDINATOR, LEADER, REPLICAS, BUSY, BROKER_DISK, MEMBER, RETRIABLE,
    UNKNOWN, ABORTABLE, FENCED, FATAL,
    TOO_LARGE, REFUSED, TIMESTAMP, DELETED, RECREATED, REPLACED, NO_OFFSET, DIFFERS, OFFSET_GONE, NOT_POLLED,
    AUTHORIZATION, OWN_DISK, TOO_OLD, UNFORESEEN,
)  # fmt: skip

VERDICTS: Mapping[int, Verdict] = {code: row for row in ROWS for code in row.codes}


def verdict(error: KafkaError) -> Verdict:
    """The consequence of an error outside a transaction's end."""
    if (known := VERDICTS.get(error.code())) is not None:
        return known
    return RETRIABLE if error.retriable() else UNFORESEEN


def ending(error: KafkaError) -> tuple[Outcome, Verdict]:
    """How a transaction ended whose commit failed with this error, and what it leads to.

    A verdict that is not transient stops the stage, once the transaction is aborted.
    """
    if error.fatal():
        return Outcome.FENCED, FENCED if error.code() in FENCED.codes else FATAL
    known = verdict(error)
    if error.txn_requires_abort():
        return Outcome.ABORTED, ABORTABLE if known in (UNFORESEEN, RETRIABLE) else known
    if error.retriable() or error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001  the client's public codes
        return Outcome.UNKNOWN, UNKNOWN
    return Outcome.FENCED, FATAL


def cause(error: BaseException) -> KafkaError | None:
    """The client's own error inside an exception, if it is one of the client's."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return None
