"""The producing half of the in-memory broker: one transactional producer, errors kept until the commit asks."""

from collections.abc import Mapping, Sequence

from penstock.errors import PermanentError, SystemFaultError
from penstock.stream.port import Membership, Outcome, Outgoing, Record, TopicPartition
from penstock.testing.cluster import Cluster
from penstock.testing.group import MemoryMembership
from penstock.testing.log import PartitionLog, Transaction
from penstock.testing.refusals import Code, RefusedError
from penstock.testing.transactions import Credentials, Place


class MemoryProducer:
    def __init__(self, cluster: Cluster, transactional_id: str, timeout_s: float, group: str | None) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._timeout_s = timeout_s
        self._group = group
        self.credentials = Credentials(transactional_id, -1)
        self._open = False
        self._ending = False
        self._used = False
        self._refused: RefusedError | None = None

    @property
    def is_open(self) -> bool:
        return self._open

    async def init(self) -> None:
        while True:
            try:
                self.credentials = self._cluster.transactions.init(self._id, self._timeout_s, self._cluster.tick())
                break
            except RefusedError as refused:
                if refused.code is not Code.CONCURRENT_TRANSACTIONS:
                    raise
                await self._cluster.changed()
        self._open = self._ending = self._used = False
        self._refused = None
        self._cluster.notify()

    def begin(self) -> None:
        assert not self._open, f"{self._id}: begin inside a transaction"
        self._open, self._ending, self._used = True, False, False
        self._refused = None

    async def produce(self, batch: Sequence[Outgoing], forward: Mapping[str, Sequence[Record]]) -> None:
        assert self._open, f"{self._id}: produce outside a transaction"
        assert not self._ending, f"{self._id}: produce after the commit has begun"
        outgoing = [*batch, *(_forwarded(topic, record) for topic, records in forward.items() for record in records)]
        if self._refused is not None or not outgoing:
            return
        try:
            by_log: dict[PartitionLog, list[Outgoing]] = {}
            for out in outgoing:
                by_log.setdefault(self._cluster.route(out), []).append(out)
            transaction = await self._enlist(list(by_log))
            now_ms = self._cluster.clock.now_ms()
            for log, records in by_log.items():
                log.check(records, now_ms)
                for out in records:
                    log.append(out, transaction, now_ms)
        except RefusedError as refused:
            self._refused = refused

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        assert self._open or self._ending, f"{self._id}: commit outside a transaction"
        again = self._ending and not self._open
        self._ending = True
        try:
            if self._refused is not None:
                raise self._refused
            if offsets and not again:
                assert isinstance(membership, MemoryMembership | None)
                await self._add_offsets(offsets, membership)
            if self._used:
                self._cluster.transactions.end(self.credentials, commit=True, now_s=self._cluster.tick())
        except RefusedError as refused:
            return self._give_up(refused)
        self._open = False
        self._cluster.notify()
        return Outcome.COMMITTED

    def abort(self) -> Outcome:
        assert self._open, f"{self._id}: abort outside a transaction"
        assert not self._ending, f"{self._id}: abort after the commit has begun"
        return self._roll_back()

    def close(self) -> None:
        """Aborts what is open, as far as that is still ours."""
        if self._open and not self._ending:
            self._roll_back()

    async def _add_offsets(self, offsets: Mapping[TopicPartition, int], membership: MemoryMembership | None) -> None:
        assert self._group is not None, f"{self._id}: offsets without a group"
        place = self._cluster.group_offsets(self._group)
        transaction = await self._enlist([place])
        self._cluster.group(self._group).check(membership, offsets)
        place.add(transaction, offsets)

    async def _enlist(self, places: Sequence[Place]) -> Transaction:
        while True:
            try:
                transaction = self._cluster.transactions.enlist(self.credentials, places, self._cluster.tick())
            except RefusedError as refused:
                if refused.code is not Code.CONCURRENT_TRANSACTIONS:
                    raise
                await self._cluster.changed()
            else:
                self._used = True
                return transaction

    def _give_up(self, refused: RefusedError) -> Outcome:
        """What the refusal means for who commits: start anew, try once more, or somebody has to look at it."""
        if refused.code in (Code.FENCED_PRODUCER, Code.INVALID_TRANSACTION_STATE):
            self._open = False
            return Outcome.FENCED
        outcome = self._roll_back()
        if outcome is Outcome.FENCED or refused.code in (Code.UNKNOWN_MEMBER, Code.STALE_EPOCH):
            return outcome
        kind = PermanentError if refused.code is Code.TOO_LARGE else SystemFaultError
        raise kind(f"the broker refused the transaction of {self._id}: {refused}") from refused

    def _roll_back(self) -> Outcome:
        self._open = self._ending = False
        try:
            if self._used:
                self._cluster.transactions.end(self.credentials, commit=False, now_s=self._cluster.tick())
        except RefusedError:
            return Outcome.FENCED
        self._cluster.notify()
        return Outcome.ABORTED


def _forwarded(topic: str, record: Record) -> Outgoing:
    return Outgoing(topic, record.key(), record.value(), record.headers() or [], record.timestamp()[1])
