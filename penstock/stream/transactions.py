"""The producing half of the Kafka broker: one transactional producer, its calls all made in the worker thread.

The client speaks transactions v1: no epoch per transaction, so a commit that timed out is unknown. It is called again
until it is known, and never followed by an abort unless the client says that one is required.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from penstock import failpoints
from penstock.errors import BrokerError, Category, PermanentError, SystemFaultError
from penstock.stream import kafka_config
from penstock.stream.bounded import Bounded
from penstock.stream.port import Membership, Outcome, Outgoing, Record, TopicPartition
from penstock.stream.verdicts import cause, ending, verdict

log = structlog.get_logger(__name__)

_CALL_TIMEOUT_S = 2.0
"""One blocking call; the loop repeats it until its Deadline."""
_GIVEN_UP_AFTER_S = 5.0
"""The client does not keep the time-out of sending offsets while the group's coordinator is away; it may never return
(librdkafka 2.16, issues 5456 and 5511)."""
_INIT_TIMEOUT_S = 10.0
_FAILED_BEFORE = (KafkaError._STATE, KafkaError._FATAL, KafkaError._FENCED)  # noqa: SLF001  the client's public codes


class Transactions:
    def __init__(self, settings: kafka_config.ClientSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._bounded = Bounded(f"{settings.transactional_id}.offsets")
        self._offsets_sent = False
        self._ending = False
        """A commit has begun, and nobody knows how it ended."""

    def renew(self) -> None:
        """A new producer under the same transactional id: the broker aborts what the old one left open.

        Raises:
            TransientError: no coordinator answered in time.
        """
        self._producer = None
        producer = Producer(kafka_config.transactional(self._settings))
        try:
            producer.init_transactions(_INIT_TIMEOUT_S)
        except KafkaException as error:
            raise explain(error, f"starting transactions as {self._settings.transactional_id}") from error
        self._producer = producer
        self._ending = False

    def begin(self) -> None:
        self._offsets_sent = False
        try:
            self._live().begin_transaction()
        except KafkaException as error:
            known = cause(error)
            if known is not None and (known.fatal() or known.code() in _FAILED_BEFORE):
                raise BrokerError(f"the producer cannot go on ({known.str()}): a new one is needed") from error
            raise explain(error, f"beginning a transaction as {self._settings.transactional_id}") from error

    def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        try:
            self._hand_over(self._live(), batch, forward)
        except KafkaException as error:
            known = cause(error)
            # The transaction has failed already, by a record before or a fence: `commit` says how, and what follows.
            if known is None or known.code() not in _FAILED_BEFORE:
                raise explain(error, f"writing a record as {self._settings.transactional_id}") from error

    def _hand_over(
        self, producer: Producer, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]
    ) -> None:
        produce = producer.produce
        for topic, records in forward.items():
            for record in records:
                while True:
                    try:
                        produce(
                            topic,
                            record.value(),
                            record.key(),
                            headers=record.headers(),  # type: ignore[arg-type]  # invariance only
                            timestamp=record.timestamp()[1],
                        )
                        break
                    except BufferError:  # the local queue is full: let deliveries make room
                        producer.poll(0.01)
        for topic, key, value, headers, timestamp_ms, partition in batch:
            while True:
                try:
                    produce(
                        topic,
                        value,
                        key,
                        partition=partition,
                        headers=headers,  # type: ignore[arg-type]  # invariance only
                        timestamp=timestamp_ms,
                    )
                    break
                except BufferError:
                    producer.poll(0.01)
        if failpoints.are_set():
            producer.flush(_CALL_TIMEOUT_S)
        producer.poll(0)

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        producer = self._live()
        self._ending = True
        try:
            if offsets and not self._offsets_sent:
                # An abort drops what is still on its way, and the client then finds its own sequence numbers wrong: a
                # transaction later it needs a new epoch. The offsets are what is refused, when the group has moved on.
                producer.flush(_CALL_TIMEOUT_S)
                self._bounded.call(
                    _GIVEN_UP_AFTER_S,
                    producer.send_offsets_to_transaction,
                    [KafkaPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()],
                    membership,
                    _CALL_TIMEOUT_S,
                )
            self._offsets_sent = True
            producer.commit_transaction(_CALL_TIMEOUT_S)
        except KafkaException as error:
            return self._failed(error)
        except TimeoutError:
            # Whatever becomes of the call, its transaction ends with the producer that takes this one's place.
            log.warning("the client hangs", call="send_offsets_to_transaction", given_up_after_s=_GIVEN_UP_AFTER_S)
            self._producer = None
            return Outcome.FENCED
        self._ending = False
        return Outcome.COMMITTED

    def abort(self) -> Outcome:
        producer = self._live()
        self._ending = False
        try:
            producer.abort_transaction(_CALL_TIMEOUT_S)
        except KafkaException:
            return Outcome.FENCED  # whatever state it is in, a new producer has a clean one
        return Outcome.ABORTED

    def close(self) -> None:
        """Aborts what is open, so that readers need not wait for its time-out. What a commit may have ended is left to
        the broker, and to the successor under the same transactional id."""
        if self._producer is not None and not self._ending:
            with suppress(KafkaException):  # nothing was open, or the broker is away and will abort by time-out
                self._producer.abort_transaction(_CALL_TIMEOUT_S)
        self._producer = None
        self._bounded.close()

    def _failed(self, error: KafkaException) -> Outcome:
        known = cause(error)
        if known is None:
            raise error
        ended, found = ending(known)
        if ended is Outcome.ABORTED:
            ended = self.abort()
            if found.category is not Category.TRANSIENT:
                raise explain(error, f"committing a transaction of {self._settings.transactional_id}")
        return ended

    def _live(self) -> Producer:
        if self._producer is None:
            raise BrokerError("there is no live transactional producer; renew it first")
        return self._producer


def explain(error: KafkaException, doing: str) -> BrokerError | PermanentError | SystemFaultError:
    """The client's error as one of ours, saying what was being done and what follows."""
    known = cause(error)
    if known is None:
        return PermanentError(f"{doing}: {error}")
    return verdict(known).error(f"{doing}: {known.str()} ({known.name()})")
