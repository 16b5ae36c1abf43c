"""The transaction coordinator, protocol v1: epochs that fence, time-outs that abort, markers that may come late."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from penstock.testing.alarms import Alarm, Alarms
from penstock.testing.log import PartitionLog, Transaction
from penstock.testing.offsets import GroupOffsets
from penstock.testing.refusals import Code, RefusedError

Place = PartitionLog | GroupOffsets
"""Where a transaction writes, and where its marker goes in the end."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a producer shows with every request."""

    transactional_id: str
    epoch: int


class Phase(Enum):
    EMPTY = auto()
    ONGOING = auto()
    ENDING = auto()  # decided, some markers not written yet
    COMPLETE = auto()


@dataclass(slots=True)
class _Producer:
    epoch: int = -1
    timeout_s: float = 60.0
    phase: Phase = Phase.EMPTY
    transaction: Transaction | None = None
    places: dict[Place, None] = field(default_factory=dict)
    unmarked: int = 0


class TransactionCoordinator:
    """Args:
    alarms: where time-outs and late markers are set.
    marker_delay_s: how long after the decision the marker reaches one place; 0 is at once.
    changed: called when readers may see more.
    """

    def __init__(self, alarms: Alarms, marker_delay_s: Callable[[], float], changed: Callable[[], None]) -> None:
        self._alarms = alarms
        self._marker_delay_s = marker_delay_s
        self._changed = changed
        self._producers: dict[str, _Producer] = {}
        self.timed_out = 0
        self.back_s = 0.0
        """Until then it is on its way from one broker to another, and nobody answers."""

    def init(self, transactional_id: str, timeout_s: float, now_s: float) -> Credentials:
        """Fences all earlier producers of this id and aborts what they left open.

        Raises:
            RefusedError: CONCURRENT_TRANSACTIONS while that takes; ask again.
        """
        self._refuse_while_moving(now_s)
        producer = self._producers.setdefault(transactional_id, _Producer())
        if producer.phase is Phase.ONGOING:
            producer.epoch += 1
            self._decide(producer, committed=False, now_s=now_s)
        self._refuse_while_ending(transactional_id, producer)
        producer.epoch += 1
        producer.timeout_s = timeout_s
        producer.phase = Phase.EMPTY
        producer.transaction = None
        return Credentials(transactional_id, producer.epoch)

    def enlist(self, who: Credentials, places: Sequence[Place], now_s: float) -> Transaction:
        """The open transaction of this producer, begun if need be, with these places in it."""
        self._refuse_while_moving(now_s)
        producer = self._known(who)
        self._refuse_while_ending(who.transactional_id, producer)
        if producer.phase is not Phase.ONGOING or producer.transaction is None:
            producer.phase = Phase.ONGOING
            producer.transaction = Transaction(f"{who.transactional_id}/{who.epoch}")
            producer.places = {}
            transaction = producer.transaction
            self._alarms.at(now_s + producer.timeout_s, lambda due_s: self._time_out(producer, transaction, due_s))
        producer.places.update(dict.fromkeys(places))
        return producer.transaction

    def end(self, who: Credentials, *, commit: bool, now_s: float) -> None:
        """Decides the open transaction. To end it again the same way is harmless: the first answer may have been lost.

        Raises:
            RefusedError: PRODUCER_FENCED, or INVALID_TXN_STATE where there is none or it ended the other way.
        """
        self._refuse_while_moving(now_s)
        producer = self._known(who)
        if producer.phase is Phase.ONGOING:
            self._decide(producer, committed=commit, now_s=now_s)
            return
        transaction = producer.transaction
        if transaction is None or transaction.committed is not commit:
            raise RefusedError(
                Code.INVALID_TRANSACTION_STATE,
                f"{who.transactional_id} has no transaction to {'commit' if commit else 'abort'}",
            )

    def _refuse_while_moving(self, now_s: float) -> None:
        if now_s < self.back_s:
            raise RefusedError(Code.NOT_COORDINATOR, "the coordinator is moving to another broker")

    def _known(self, who: Credentials) -> _Producer:
        producer = self._producers[who.transactional_id]
        if producer.epoch != who.epoch:
            raise RefusedError(
                Code.FENCED_PRODUCER,
                f"{who.transactional_id} has epoch {producer.epoch} now, a producer with {who.epoch} is fenced",
            )
        return producer

    def _refuse_while_ending(self, transactional_id: str, producer: _Producer) -> None:
        if producer.phase is Phase.ENDING:
            raise RefusedError(
                Code.CONCURRENT_TRANSACTIONS, f"the last transaction of {transactional_id} is still being ended"
            )

    def _time_out(self, producer: _Producer, transaction: Transaction, due_s: float) -> None:
        if producer.transaction is transaction and producer.phase is Phase.ONGOING:
            if due_s < self.back_s:
                self._alarms.at(self.back_s, lambda at_s: self._time_out(producer, transaction, at_s))
                return
            producer.epoch += 1
            self.timed_out += 1
            self._decide(producer, committed=False, now_s=due_s)

    def _decide(self, producer: _Producer, *, committed: bool, now_s: float) -> None:
        transaction = producer.transaction
        assert transaction is not None
        transaction.committed = committed
        producer.phase = Phase.ENDING
        producer.unmarked = len(producer.places)
        for place in producer.places:
            delay_s = self._marker_delay_s()
            if delay_s > 0:
                self._alarms.at(now_s + delay_s, self._late_mark(producer, transaction, place))
            else:
                self._mark(producer, transaction, place)
        if not producer.places:
            producer.phase = Phase.COMPLETE

    def _late_mark(self, producer: _Producer, transaction: Transaction, place: Place) -> Alarm:
        def mark(due_s: float) -> None:
            if due_s < self.back_s:  # whoever coordinates now reads the decision in the log, and sees to it
                self._alarms.at(self.back_s, mark)
            else:
                self._mark(producer, transaction, place)

        return mark

    def _mark(self, producer: _Producer, transaction: Transaction, place: Place) -> None:
        place.mark(transaction)
        producer.unmarked -= 1
        if producer.unmarked == 0:
            producer.phase = Phase.COMPLETE
        self._changed()
