"""The loop of a stage between topics: exactly once, by transactions.

One turn of it, in this order; each number stands again beside the code that does it:

 1. poll a batch; drop what is stale
 2. give it to the handler; wrap what can never be processed as dead letters. A handler that has to ask somebody
    outside first gets the batch again afterwards; what is open is committed before
 3. produce what came of it (the transaction begins here, with the first record)
 4. commit: the state's changelog and the input offsets go into the transaction, then it is committed
 5. tell the state, which only now forgets its undo log and expires

After an abort all partitions are undone and read again from their last commit. A revocation is acked once what was
taken is committed; lost partitions are dropped uncommitted. After a fencing the state is dropped and restored from
what the broker holds, since only the stable offset tells whether the last commit went through.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import PermanentError, ThrottledError, TransientError, passes
from penstock.stream import headers
from penstock.stream.assignment import Assignment, starts_of
from penstock.stream.beginning import begin
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Asking, Handler, Output, State
from penstock.stream.meter import Meter
from penstock.stream.pace import Pace
from penstock.stream.port import (
    FENCED,
    Assigned,
    Broker,
    Lost,
    Membership,
    Outcome,
    Outgoing,
    Polled,
    Record,
    Revoked,
    TopicPartition,
)
from penstock.stream.restore import Restore
from penstock.stream.settings import LoopSettings
from penstock.stream.valve import Valve

log = structlog.get_logger(__name__)


class Loop:
    """
    Args:
        broker: started and closed by the loop.
        state: the handler's state where it has one; its changelog is written in the transaction of its events.
    """

    def __init__(
        self,
        broker: Broker,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: LoopSettings,
        clock: Clock,
        meter: Meter,
        state: State | None = None,
    ) -> None:
        self._broker = broker
        self._handler = handler
        self._asking = handler if isinstance(handler, Asking) else None
        self._dead_letters = dead_letters
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._state = state
        self._assignment = Assignment()
        self._restore = Restore(broker, self._assignment, settings, clock, state, meter.retried)
        self._pace = Pace(settings.idle_poll_s)
        self._valve = Valve(settings.stage, settings.valve)
        self._membership: Membership | None = None
        self._touched: set[TopicPartition] = set()
        self._ends: dict[TopicPartition, int] = {}
        self._open = False
        self._live = False
        self._failures = 0
        self._renew_at_s = 0.0
        self._resume_at_s: float | None = None
        self._housekeeping_at_s = 0.0

    @property
    def ready(self) -> bool:
        return self._live and self._assignment.ready and self._resume_at_s is None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: then commits what was taken, and leaves the group.

        Raises:
            PenstockError: the stage cannot go on; the text says why and what to do.
        """
        try:
            self._live = await begin(self._broker, self._settings, self._meter, stop)
            while not stop.is_set():
                await self._turn()
            await self._commit()
        finally:
            await self._broker.close()

    async def _turn(self) -> None:
        self._meter.progress()
        try:
            if not self._live and self._clock.monotonic_s() >= self._renew_at_s:
                await self._broker.renew()
                self._live = True
            await self._resume()
            restoring = self._live and await self._restore.step()
            self._meter.restores(self._restore.progress)
            await self._handle(restoring)
            await self._keep_house()
        except TransientError as error:
            self._meter.retried(error)
            await self._start_over(str(error))
        self._meter.holds(self._assignment.owned, ready=self.ready)
        if self._valve.shut is not None:
            raise PermanentError(self._valve.shut)

    async def _handle(self, restoring: bool) -> None:
        timeout_s = 0.0 if restoring else self._pace.poll_timeout_s(self._clock.monotonic_s())
        match await self._broker.poll(self._settings.max_records, timeout_s):  # 1.
            case Polled() as polled:
                await self._take(polled)
            case Assigned(partitions, generation):
                log.info("assigned", partitions=sorted(map(str, partitions)))
                self._assignment.assign(partitions, generation)
            case Revoked(partitions, ack):
                log.info("revoked", partitions=sorted(map(str, partitions)))
                try:
                    await self._commit()
                finally:
                    self._drop(partitions)
                    ack()
            case Lost(partitions):
                log.warning("lost", partitions=sorted(map(str, partitions)))
                try:
                    await self._roll_back("partitions were lost", without=partitions)
                finally:
                    self._drop(partitions)

    async def _take(self, polled: Polled) -> None:
        self._ends.update(polled.ends)
        records = self._assignment.fresh(polled)  # 1.
        if records:
            try:
                if self._asking is not None and self._asking.must_ask(records):
                    await self._ask(self._asking, records)
                    return
                failpoints.hit(f"{self._settings.stage}.before-handle")
                output = await self._process(records)  # 2.
            except Exception as error:
                if not passes(error):
                    raise
                await self._wait_for(error)
                return
            await self._produce(records, output, polled.membership)
        if self._pace.due(self._clock.monotonic_s(), drained=not records):
            await self._commit()

    async def _ask(self, handler: Asking, records: Sequence[Record]) -> None:
        """The records are given back and what came before them is committed: nothing is open while somebody outside
        thinks, and the next poll brings them again."""
        await self._broker.seek(starts_of(records))
        await self._commit()
        await handler.ask(records)

    async def _process(self, records: Sequence[Record]) -> Output:
        """A record whose headers cannot be read is dead before a handler, or the producer, looks at them."""
        records, dead = headers.readable(records)
        output = await self._handler.process(records) if records else Output()
        output.dead += dead
        return output

    async def _produce(self, records: Collection[Record], output: Output, membership: Membership | None) -> None:
        self._dead_letters.reads(self._restore.topic_ids)
        letters = [self._dead_letters.wrap(dead) for dead in output.dead]
        if not self._open:
            self._membership = membership
            await self._broker.begin()
            self._open = True
            self._pace.began(self._clock.monotonic_s())
        failpoints.hit(f"{self._settings.stage}.before-produce")
        self._touched.update(TopicPartition(*key) for key in {(r.topic(), r.partition()) for r in records})
        await self._broker.produce([*output.send, *letters], output.forward)  # 3.
        failpoints.hit(f"{self._settings.stage}.after-produce")
        self._meter.took(len(records), output.forward, output.send, len(letters))
        self._valve.took(len(records), output.dead)

    async def _commit(self) -> None:
        """Ends the open transaction, if there is one; afterwards either all of it counts or none."""
        if not self._open:
            return
        started_s = self._clock.monotonic_s()
        positions = dict(await self._broker.positions(self._touched))
        if self._state is not None:
            await self._broker.produce(self._checkpoint(self._state, positions), {})
        failpoints.hit(f"{self._settings.stage}.before-commit")
        outcome = await self._broker.commit(positions, self._membership)  # 4.
        while outcome is Outcome.UNKNOWN and self._clock.monotonic_s() - started_s <= self._settings.commit_deadline_s:
            self._meter.ended(outcome, 0.0)  # never aborted, it may be in
            await asyncio.sleep(self._settings.retry_pause_s)
            outcome = await self._broker.commit(positions, self._membership)
        now_s = self._clock.monotonic_s()
        self._meter.ended(outcome, now_s - started_s)
        match outcome:
            case Outcome.COMMITTED:
                failpoints.hit(f"{self._settings.stage}.after-commit")
                self._close()
                self._failures = 0
                self._assignment.commit(positions)
                if self._state is not None:
                    self._state.committed()  # 5.
                self._pace.committed(now_s, now_s - started_s)
                self._valve.committed(now_s)
                self._meter.lag(positions, self._ends)
            case Outcome.ABORTED:
                await self._undo("the commit was refused")
                await self._rest_if_in_vain()
            case _:  # a new producer ends it, and the stable offset tells how
                await self._start_over(FENCED if outcome is Outcome.FENCED else f"the commit ended {outcome.value}")

    def _checkpoint(self, state: State, positions: Mapping[TopicPartition, int]) -> list[Outgoing]:
        (topic,) = {tp.topic for tp in positions}  # a stage with a changelog has one input
        topic_id = self._restore.topic_ids[topic]
        return list(state.checkpoint(topic_id, {tp.partition: offset for tp, offset in positions.items()}))

    async def _roll_back(self, why: str, without: Collection[TopicPartition] = ()) -> None:
        """Aborts what is open and reads it again, but for the partitions named."""
        if not self._open:
            if self._state is not None:
                self._state.undo()  # what a handler changed before it failed
            return
        if await self._broker.abort() is Outcome.ABORTED:
            await self._undo(why, without)
        else:
            self._drop(without)
            await self._start_over(why)

    async def _undo(self, why: str, without: Collection[TopicPartition] = ()) -> None:
        """All partitions go back to their last commit: their state at once, their position by a seek."""
        log.warning("rolled back", reason=why, partitions=sorted(map(str, self._touched)))
        if self._state is not None:
            self._state.undo()
        back = self._assignment.committed(self._touched.difference(without))
        self._valve.undone()
        self._close()
        await self._broker.seek(back)

    async def _start_over(self, why: str) -> None:
        """Everything is paused, its state dropped; a new producer first, then each partition as if newly assigned.

        Polling goes on until the pause before the new producer is over: two processes that fence each other, or a
        broker that is away, are not met by a loop that runs hot.
        """
        self._failures += 1
        delay_s = self._settings.backoff_s(self._failures)
        log.warning("starting over", reason=why, delay_s=round(delay_s, 3), failures=self._failures)
        self._valve.undone()
        self._close()
        self._live = False
        self._renew_at_s = self._clock.monotonic_s() + delay_s
        self._resume_at_s = None
        partitions = self._assignment.restart()
        self._restore.forget(partitions)
        if self._state is not None:
            self._state.undo()
            self._state.drop({tp.partition for tp in partitions})
        await self._broker.pause(partitions)

    def _close(self) -> None:
        self._open = False
        self._membership = None
        self._touched.clear()
        self._pace.ended()

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        self._assignment.drop(partitions)
        self._restore.forget(partitions)
        self._touched.difference_update(partitions)
        if self._state is not None:
            self._state.drop({tp.partition for tp in partitions})

    async def _rest_if_in_vain(self) -> None:
        """After a refused commit the same records come again: at once the first time, then with pauses that grow."""
        self._failures += 1
        if self._failures > 1:
            await self._broker.pause(self._assignment.running)
            self._resume_at_s = self._clock.monotonic_s() + self._settings.backoff_s(self._failures - 1)

    async def _wait_for(self, error: Exception) -> None:
        """Something outside is away: nothing stays open meanwhile, polling goes on, the partitions are paused."""
        self._failures += 1
        delay_s = error.retry_after_s if isinstance(error, ThrottledError) else self._settings.backoff_s(self._failures)
        log.warning("waiting", error=str(error), delay_s=round(delay_s, 3), failures=self._failures)
        running = self._assignment.running
        await self._broker.pause(running)
        await self._roll_back(str(error))
        if self._live:
            await self._broker.seek(self._assignment.committed(running))
            self._resume_at_s = self._clock.monotonic_s() + delay_s

    async def _resume(self) -> None:
        if self._resume_at_s is not None and self._clock.monotonic_s() >= self._resume_at_s:
            self._resume_at_s = None
            await self._broker.resume(self._assignment.running)

    async def _keep_house(self) -> None:
        """Now and then, and never inside a transaction: changelog records that nobody needs any more are deleted."""
        if self._state is None or self._open or self._clock.monotonic_s() < self._housekeeping_at_s:
            return
        self._housekeeping_at_s = self._clock.monotonic_s() + self._settings.housekeeping_s
        try:
            await self._forget_expired(self._state)
        except TransientError as error:
            self._meter.retried(error)
            log.info("housekeeping waits", error=str(error))

    async def _forget_expired(self, state: State) -> None:
        topic = state.changelog
        ends = await self._broker.end_offsets([TopicPartition(topic, tp.partition) for tp in self._assignment.running])
        expired = state.expired({tp.partition: end for tp, end in ends.items()})
        await self._broker.delete_records({TopicPartition(topic, partition): at for partition, at in expired.items()})
