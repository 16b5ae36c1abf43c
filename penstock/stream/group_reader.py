"""The consuming half of the Kafka broker: one group member, its calls all made in the worker thread.

The client calls back about assignments from within a poll. In the callback partitions are only assigned and paused,
or, when they go, held until the loop has finished what it took (`Revoked.ack`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from penstock.errors import BrokerError, Category, SystemFaultError
from penstock.stream import kafka_config
from penstock.stream.port import Assigned, Event, Lost, Polled, Record, Revoked, TopicPartition
from penstock.stream.transactions import explain
from penstock.stream.verdicts import UNFORESEEN, cause, verdict

_CALL_TIMEOUT_S = 5.0
_SEEK_S = 2.0


class GroupReader:
    """
    Args:
        emit: takes each event, in order, in the worker thread.
        hold: in the worker thread, does other jobs until its argument holds: what a revocation waits with.
    """

    def __init__(
        self,
        settings: kafka_config.ClientSettings,
        emit: Callable[[Event], None],
        hold: Callable[[Callable[[], bool]], None],
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._hold = hold
        self._wake = wake
        self._generation = 0
        self._consumer: Consumer | None = None
        self._first: Message | None = None
        self._assigned_now: set[TopicPartition] = set()
        self._sought: dict[TopicPartition, int] = {}

    def join(self) -> None:
        """Subscribes; partitions come with later polls. Without topics there is no group to join.

        Raises:
            SystemFaultError: a topic is missing.
        """
        consumer = Consumer(kafka_config.consumer(self._settings))
        self._consumer = consumer
        if not self._settings.topics:
            return
        try:
            known = consumer.list_topics(timeout=_CALL_TIMEOUT_S * 2).topics
        except KafkaException as error:
            raise explain(error, f"reaching the broker at {self._settings.bootstrap_servers}") from error
        missing = [topic for topic in self._settings.topics if topic not in known]
        if missing:
            raise SystemFaultError(
                f"topic {', '.join(missing)} does not exist at {self._settings.bootstrap_servers}; "
                "create the topics with `penstock topics apply`"
            )
        consumer.subscribe(
            list(self._settings.topics),
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._consumer is None:
            self._consumer = Consumer(kafka_config.reader(self._settings.bootstrap_servers, self._settings.group))
        self._generation += 1
        self._assigned_now = set(offsets)
        self._consumer.assign([KafkaPartition(*tp, offset) for tp, offset in offsets.items()])

    def fetch(self, max_records: int, timeout_s: float) -> None:
        """Emits what one poll brings, ending with a `Polled`."""
        consumer = self._live()
        generation = self._generation
        self._sought.clear()
        # What lies ready is taken in one call; only an empty queue is waited on, and by one record, since a batch
        # call with a time-out returns no earlier than that time-out.
        messages = consumer.consume(max_records, 0)
        if not messages and timeout_s > 0 and (first := consumer.poll(timeout_s)) is not None:
            self._first = first
            messages = consumer.consume(max_records - 1, 0) if max_records > 1 else []
            messages = self._take_first() + messages
        if self._sought:
            messages = self._without_sought(messages)
        if self._generation != generation:
            consumer.assignment()  # returns when the client is through with what the callbacks told it
            self._wake_fetchers(self._assigned_now)
        self._hand_over(messages, generation, self.positions(self._assigned_now))

    def _without_sought(self, messages: Sequence[Message]) -> list[Message]:
        """A seek while a revocation was held: the rest of this fetch may be from before it or from after it."""
        self.seek({tp: offset for tp, offset in self._sought.items() if tp in self._assigned_now})
        return [one for one in messages if (one.topic(), one.partition()) not in self._sought]

    def _take_first(self) -> list[Message]:
        first, self._first = self._first, None
        return [] if first is None else [first]

    def _hand_over(self, messages: Sequence[Message], generation: int, positions: Mapping[TopicPartition, int]) -> None:
        consumer = self._live()
        records: list[Record] = []
        ends: dict[TopicPartition, int] = {}
        for message in messages:
            if (error := message.error()) is None:
                records.append(message)  # type: ignore[arg-type]  # a fetched message has all that the stubs call optional
            else:
                self._note(message, error, ends)
        membership = consumer.consumer_group_metadata() if self._settings.group else None
        self._emit(Polled(records, generation, membership, ends, positions))

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._live().pause([KafkaPartition(*tp) for tp in partitions])

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._live().resume([KafkaPartition(*tp) for tp in partitions])
        self._wake_fetchers(partitions)

    def _wake_fetchers(self, partitions: Collection[TopicPartition]) -> None:
        """Has the client fetch at once what is paused no more, by it in a rebalance or by us.

        A thread of it that had nothing to fetch sleeps for up to a second, and a resume does not wake it (librdkafka
        2.16). Any request to that broker does: here one whose answer nobody waits for.
        """
        if partitions:
            with suppress(KafkaException):
                self._live().offsets_for_times([KafkaPartition(*tp, OFFSET_END) for tp in partitions], timeout=0)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """
        Raises:
            BrokerError: the client is still not ready for it.
        """
        for tp, offset in offsets.items():
            try:
                _patiently(self._live().seek, KafkaPartition(*tp, offset))
            except KafkaException as error:
                raise BrokerError(f"{tp} cannot be read from offset {offset} yet: {error}") from error
            self._sought[tp] = offset

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Of partitions that have one: nothing was read yet from the others."""
        if not partitions:
            return {}
        found = self._live().position([KafkaPartition(*tp) for tp in partitions])
        return {TopicPartition(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        try:
            found = self._live().committed([KafkaPartition(*tp) for tp in partitions], _CALL_TIMEOUT_S)
        except KafkaException as error:
            raise explain(error, f"reading the committed offsets of group {self._settings.group}") from error
        for p in found:
            if p.error is not None:
                raise explain(KafkaException(p.error), f"reading the committed offset of {p.topic}[{p.partition}]")
        return {TopicPartition(p.topic, p.partition): None if p.offset == OFFSET_INVALID else p.offset for p in found}

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _note(self, message: Message, error: KafkaError, ends: dict[TopicPartition, int]) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error.code() == KafkaError._PARTITION_EOF and topic is not None:  # noqa: SLF001  the client's public codes
            ends[TopicPartition(topic, partition or 0)] = offset or 0
            return
        found = verdict(error)
        if found.category is Category.TRANSIENT:
            if not error.fatal():
                return  # the client reconnects, or joins again, by itself
            found = UNFORESEEN
        where = f"reading {topic}[{partition}]" if topic else f"reading as group {self._settings.group}"
        raise found.error(f"{where}: {error.str()} ({error.name()})")

    def _assigned(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        # Paused first: a fetch that got in between might find offset 0 gone, and that would end the fetching for good.
        # The client pauses only partitions that it knows; asked for a position it gets to know them.
        consumer.position(list(partitions))
        consumer.pause(list(partitions))
        # An explicit offset keeps the client from looking for a committed one: the loop seeks before it resumes.
        consumer.incremental_assign([KafkaPartition(p.topic, p.partition, 0) for p in partitions])
        self._generation += 1
        self._assigned_now |= _set(partitions)
        self._emit(Assigned(_set(partitions), self._generation))

    def _revoked(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        acked: list[bool] = []

        def ack() -> None:
            acked.append(True)
            self._wake()

        # The position counts a record from the poll that brought it: it has to be handed over before anybody commits.
        if (first := self._first) is not None and first.error() is None:
            at = TopicPartition(str(first.topic()), first.partition() or 0)
            self._hand_over(self._take_first(), self._generation, {at: (first.offset() or 0) + 1})
        self._emit(Revoked(_set(partitions), ack))
        self._hold(lambda: bool(acked))
        self._generation += 1
        self._assigned_now -= _set(partitions)
        consumer.incremental_unassign(list(partitions))

    def _lost(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        self._generation += 1
        self._assigned_now -= _set(partitions)
        consumer.incremental_unassign(list(partitions))
        self._emit(Lost(_set(partitions)))

    def _live(self) -> Consumer:
        if self._consumer is None:
            raise SystemFaultError("the consumer is closed")
        return self._consumer


def _is_unready(error: BaseException) -> bool:
    known = cause(error)
    return known is not None and known.code() == KafkaError._STATE  # noqa: SLF001  the client's public codes


_patiently = Retrying(
    retry=retry_if_exception(_is_unready), wait=wait_fixed(0.01), stop=stop_after_delay(_SEEK_S), reraise=True
)
"""A partition is assigned at once, and taken up by a thread of the client's a moment later; until then it has no place
to seek in."""


def _set(partitions: Sequence[KafkaPartition]) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(p.topic, p.partition) for p in partitions)
