"""The loop of a sink: a store outside Kafka keeps its own offset with its rows, and that offset is the truth.

One turn of it, in this order; each number stands again beside the code that does it:

 1. poll a batch; drop what is stale
 2. let the sink take it in; send what can never be stored to the dead letters, in a transaction of their own, and have
    that acked before the store may commit past them
 3. when a flush is due: the store commits rows and offset together, or says that somebody else did
 4. where somebody else did: go on from the store's offset
 5. commit the store's offsets to the group, by a transaction: they serve lag and monitoring

While the store is away nothing is taken in; polling goes on with the partitions paused, so that the group stays whole.
On assignment reading starts at the store's offset, whatever the group's says.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import BrokerError, PermanentError, ThrottledError, TransientError, passes
from penstock.stream.assignment import Assignment, starts_of
from penstock.stream.beginning import begin
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Dead, RefusedError, Sink
from penstock.stream.meter import Meter
from penstock.stream.port import (
    FENCED,
    Assigned,
    Broker,
    Lost,
    Membership,
    Outcome,
    Outgoing,
    Polled,
    Revoked,
    TopicPartition,
)
from penstock.stream.settings import LoopSettings
from penstock.stream.valve import Valve

log = structlog.get_logger(__name__)


class SinkLoop:
    """
    Args:
        broker: started and closed by the loop.
        sink: closed by the loop.
    """

    def __init__(
        self,
        broker: Broker,
        sink: Sink,
        dead_letters: DeadLetters,
        settings: LoopSettings,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._broker = broker
        self._sink = sink
        self._dead_letters = dead_letters
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._assignment = Assignment()
        self._valve = Valve(settings.stage, settings.valve)
        self._membership: Membership | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._taken: set[TopicPartition] = set()
        self._dead: list[Dead] = []
        self._untold: dict[TopicPartition, int] = {}
        self._live = False
        self._failures = 0
        self._wait_until_s: float | None = None

    @property
    def ready(self) -> bool:
        return self._live and self._assignment.ready and self._wait_until_s is None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: then flushes what was taken in, and leaves the group.

        Raises:
            PenstockError: the sink cannot go on; the text says why and what to do.
        """
        try:
            self._live = await begin(self._broker, self._settings, self._meter, stop)
            while not stop.is_set():
                await self._turn()
            await self._let_go(set(self._taken))
        finally:
            await self._broker.close()
            await self._sink.close()

    async def _turn(self) -> None:
        self._meter.progress()
        try:
            await self._resume()
            if self._wait_until_s is None:
                if not self._live:
                    await self._broker.renew()
                    self._live = True
                    self._meter.progress()
                await self._start()
            await self._handle()
            if self._wait_until_s is None:
                await self._flush(self._taken.intersection(self._sink.due(self._clock.monotonic_s())))
                await self._tell_group()
                self._failures = 0
        except Exception as error:
            if not passes(error):
                raise
            if isinstance(error, BrokerError):
                self._meter.retried(error)
            await self._wait_for(error)
        self._meter.holds(self._assignment.owned, ready=self.ready)
        if self._valve.shut is not None:
            await self._let_go(set(self._taken))
            raise PermanentError(self._valve.shut)

    async def _handle(self) -> None:
        match await self._broker.poll(self._settings.max_records, self._settings.sink_poll_s):  # 1.
            case Polled() as polled:
                await self._take(polled)
            case Assigned(partitions, generation):
                log.info("assigned", partitions=sorted(map(str, partitions)))
                self._assignment.assign(partitions, generation)
            case Revoked(partitions, ack):
                log.info("revoked", partitions=sorted(map(str, partitions)))
                try:
                    await self._let_go(self._taken.intersection(partitions))
                finally:
                    self._drop(partitions)
                    ack()
            case Lost(partitions):
                log.warning("lost", partitions=sorted(map(str, partitions)))
                self._drop(partitions)

    async def _take(self, polled: Polled) -> None:
        self._ends.update(polled.ends)
        self._membership = polled.membership
        records = self._assignment.fresh(polled)  # 1.
        if not records:
            return
        failpoints.hit(f"{self._settings.stage}.before-handle")
        starts = starts_of(records)
        try:
            dead = await self._sink.add(records)  # 2.
        except Exception as error:
            if passes(error):
                await self._broker.seek(starts)
            raise
        self._taken.update(starts)
        self._dead.extend(dead)
        self._meter.took(len(records), {}, (), len(dead))
        self._valve.took(len(records), dead)
        await self._bury()
        self._valve.committed(self._clock.monotonic_s())

    async def _bury(self) -> None:
        """Returns once all dead letters are committed; a repetition is counted once, by its origin."""
        if not self._dead:
            return
        if not self._live:
            raise TransientError("the dead letters wait for a new producer")
        if not await self._transact([self._dead_letters.wrap(one) for one in self._dead], {}):
            raise TransientError("the dead letters could not be written")
        failpoints.hit(f"{self._settings.stage}.after-dead-letters")
        self._dead.clear()

    async def _let_go(self, partitions: Collection[TopicPartition]) -> None:
        """Flushes what has to be given up, as far as the Deadline allows; the rest is read again by the next owner."""
        try:
            async with asyncio.timeout(self._settings.commit_deadline_s):
                await self._flush(partitions)
        except Exception as error:
            if not passes(error):
                raise
            self._live = self._live and not isinstance(error, TimeoutError)  # it may have left a transaction open
            log.warning("not flushed", partitions=sorted(map(str, partitions)), error=str(error) or "past the Deadline")

    async def _flush(self, partitions: Collection[TopicPartition]) -> None:
        if not partitions:
            return
        await self._bury()
        ends = dict(await self._broker.positions(partitions))
        started_s = self._clock.monotonic_s()
        while True:
            self._meter.progress()  # each call of the store has its own limit; only one that passes it is a hang
            try:
                flushed = await self._sink.flush(ends)  # 3.
                break
            except RefusedError as error:
                self._dead.extend(error.dead)
                self._meter.count("dead", len(error.dead))
                self._valve.took(0, error.dead)
                await self._bury()
        self._taken.difference_update(flushed)
        theirs = {tp: done.next for tp, done in flushed.items() if not done.ours}
        if theirs:
            log.warning("somebody else had committed", partitions={str(tp): at for tp, at in theirs.items()})
            await self._broker.seek(theirs)  # 4.
        offsets = {tp: done.next for tp, done in flushed.items()}
        self._assignment.commit(offsets)
        self._meter.stored(self._clock.monotonic_s() - started_s)
        self._valve.committed(self._clock.monotonic_s())
        self._untold.update(offsets)
        await self._tell_group()

    async def _tell_group(self) -> None:
        """Commits to the group what it was not told yet; where that fails, a later turn tries again."""
        if not self._untold or not self._live:
            return
        if await self._transact([], self._untold):  # 5.
            self._meter.lag(self._untold, self._ends)
            self._untold.clear()

    async def _transact(self, letters: Sequence[Outgoing], offsets: Mapping[TopicPartition, int]) -> bool:
        """One transaction; False where it did not go through. Left in the middle, it is ended by a new producer."""
        try:
            await self._begin()
            if letters:
                await self._broker.produce(letters, {})
            return await self._commit(offsets)
        except BaseException:  # a time-out cancels, too
            self._live = False
            raise

    async def _begin(self) -> None:
        try:
            await self._broker.begin()
        except TransientError:
            self._live = False
            raise

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commits the open transaction; False where it did not go through, which the store need not care about."""
        started_s = self._clock.monotonic_s()
        outcome = await self._broker.commit(offsets, self._membership)
        while outcome is Outcome.UNKNOWN and self._clock.monotonic_s() - started_s < self._settings.commit_deadline_s:
            self._meter.ended(outcome, 0.0)
            await asyncio.sleep(self._settings.retry_pause_s)
            outcome = await self._broker.commit(offsets, self._membership)
        self._meter.ended(outcome, self._clock.monotonic_s() - started_s)
        if outcome in (Outcome.FENCED, Outcome.UNKNOWN):
            log.warning("a new producer", reason=FENCED if outcome is Outcome.FENCED else "the commit ended unknown")
            self._live = False
        return outcome is Outcome.COMMITTED

    async def _start(self) -> None:
        """Newly assigned partitions go on where the store says."""
        starting = list(self._assignment.starting)
        if not starting:
            return
        topic_ids = {topic: await self._broker.topic_id(topic) for topic in {tp.topic for tp in starting}}
        self._dead_letters.reads(topic_ids)
        offsets = dict(await self._sink.positions(starting, topic_ids))
        await self._broker.seek(offsets)
        await self._broker.resume(offsets)
        for tp, offset in offsets.items():
            self._assignment.start(tp, offset)
        self._untold.update(offsets)  # whoever had them before may have died before it told the group
        log.info("started", offsets={str(tp): offset for tp, offset in offsets.items()})

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        self._assignment.drop(partitions)
        self._taken.difference_update(partitions)
        self._dead = [dead for dead in self._dead if (dead.record.topic(), dead.record.partition()) not in partitions]
        for tp in partitions:
            self._untold.pop(tp, None)
        self._sink.drop(partitions)

    async def _wait_for(self, error: Exception) -> None:
        self._failures += 1
        delay_s = error.retry_after_s if isinstance(error, ThrottledError) else self._settings.backoff_s(self._failures)
        log.warning("waiting", error=str(error), delay_s=round(delay_s, 3), failures=self._failures)
        await self._broker.pause(self._assignment.running)
        self._wait_until_s = self._clock.monotonic_s() + delay_s

    async def _resume(self) -> None:
        if self._wait_until_s is not None and self._clock.monotonic_s() >= self._wait_until_s:
            self._wait_until_s = None
            await self._broker.resume(self._assignment.running)
