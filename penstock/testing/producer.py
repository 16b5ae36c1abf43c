"""The producing half of the in-memory broker: one transactional producer, errors kept until the commit asks."""

from collections.abc import Mapping, Sequence

from penstock.errors import PermanentError, SystemFaultError, TransientError
from penstock.stream.port import Membership, Outcome, Outgoing, Record, TopicPartition
from penstock.testing.cluster import Cluster
from penstock.testing.group import MemoryMembership
from penstock.testing.log import PartitionLog, Transaction
from penstock.testing.refusals import Code, RefusedError
from penstock.testing.transactions import Credentials, Place

_WAIT = (Code.CONCURRENT_TRANSACTIONS, Code.NOT_COORDINATOR)
"""What the client repeats by itself, as long as the call may take."""
_INIT_S, _COMMIT_S = 10.0, 2.0
"""As penstock.stream.transactions has it."""


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
        self._offsets_sent = False
        self._refused: RefusedError | None = None

    @property
    def is_open(self) -> bool:
        return self._open

    async def init(self) -> None:
        deadline_s = self._cluster.tick() + _INIT_S
        while True:
            try:
                self.credentials = self._cluster.transactions.init(self._id, self._timeout_s, self._cluster.tick())
                break
            except RefusedError as refused:
                if refused.code not in _WAIT:
                    raise
                if not await self._waited(deadline_s):
                    raise TransientError(f"starting transactions as {self._id}: {refused}") from refused
        self._open = self._ending = self._used = self._offsets_sent = False
        self._refused = None
        self._cluster.notify()

    def begin(self) -> None:
        assert not self._open, f"{self._id}: begin inside a transaction"
        self._open, self._ending, self._used, self._offsets_sent = True, False, False, False
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
        self._ending = True
        deadline_s = self._cluster.tick() + _COMMIT_S
        try:
            if self._refused is not None:
                raise self._refused
            if offsets and not self._offsets_sent:
                assert isinstance(membership, MemoryMembership | None)
                await self._add_offsets(offsets, membership, deadline_s)
                self._offsets_sent = True
            while self._used and not self._end(commit=True):
                if not await self._waited(deadline_s):
                    return Outcome.UNKNOWN
        except RefusedError as refused:
            return Outcome.UNKNOWN if refused.code in _WAIT else self._give_up(refused)
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

    def _end(self, *, commit: bool) -> bool:
        """False while nobody answers for it."""
        try:
            self._cluster.transactions.end(self.credentials, commit=commit, now_s=self._cluster.tick())
        except RefusedError as refused:
            if refused.code is not Code.NOT_COORDINATOR:
                raise
            return False
        return True

    async def _waited(self, deadline_s: float) -> bool:
        """Until something changed; False past the deadline."""
        left_s = deadline_s - self._cluster.now_s
        if left_s <= 0:
            return False
        await self._cluster.changed(left_s)
        return True

    async def _add_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: MemoryMembership | None, deadline_s: float
    ) -> None:
        assert self._group is not None, f"{self._id}: offsets without a group"
        place = self._cluster.group_offsets(self._group)
        transaction = await self._enlist([place], deadline_s)
        self._cluster.group(self._group).check(membership, offsets)
        place.add(transaction, offsets)

    async def _enlist(self, places: Sequence[Place], deadline_s: float = float("inf")) -> Transaction:
        while True:
            try:
                transaction = self._cluster.transactions.enlist(self.credentials, places, self._cluster.tick())
            except RefusedError as refused:
                if refused.code not in _WAIT or not await self._waited(deadline_s):
                    raise
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
            if self._used and not self._end(commit=False):
                return Outcome.FENCED  # nobody answered in time: a new producer ends it
        except RefusedError:
            return Outcome.FENCED
        self._cluster.notify()
        return Outcome.ABORTED


def _forwarded(topic: str, record: Record) -> Outgoing:
    return Outgoing(topic, record.key(), record.value(), record.headers() or [], record.timestamp()[1])
