"""How an assigned partition is started: in small steps between polls, so that the others go on meanwhile.

In this order, which matters: the stable committed offset, the end of the changelog (its LSO), the changelog up to it,
the check that its "next input offset" is the committed one, seek, resume.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from penstock.clock import Clock
from penstock.errors import passes
from penstock.stream.assignment import Assignment
from penstock.stream.handler import State
from penstock.stream.port import Broker, TopicPartition
from penstock.stream.settings import LoopSettings
from penstock.stream.verdicts import DIFFERS, NO_OFFSET, RECREATED, REPLACED

log = structlog.get_logger(__name__)

_RETRY_S = 0.1
_TELL_EVERY_S = 5.0


class Progress(NamedTuple):
    """How far a partition's restore is: changelog records read, and changelog offsets still to go."""

    restored: int
    remaining: int


@dataclass(slots=True)
class _Replay:
    """One partition's changelog on its way in."""

    committed: int
    next: int
    end: int
    tell_at_s: float
    """When its progress is logged next: a restore that is quick is not worth a line."""
    records: int = 0
    deadline_s: float | None = None
    """Until when the changelog may disagree; None while it has not."""

    @property
    def progress(self) -> Progress:
        return Progress(self.records, max(0, self.end - self.next))


class Restore:
    """
    Args:
        retried: is told why a step has to be made again.
    """

    def __init__(
        self,
        broker: Broker,
        assignment: Assignment,
        settings: LoopSettings,
        clock: Clock,
        state: State | None,
        retried: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._assignment = assignment
        self._settings = settings
        self._clock = clock
        self._state = state
        self._retried = retried
        self._replays: dict[TopicPartition, _Replay] = {}
        self._not_before_s = float("-inf")
        self.topic_ids: dict[str, str] = {}
        """As of the first time that a partition of the topic was started."""

    async def step(self) -> bool:
        """Advances what is being started a little; True while something is, and more can be done at once.

        Raises:
            PermanentError: there is no committed offset, the changelog does not belong to it, or the topic is another
                one by now.
        """
        if not self._assignment.starting or self._clock.monotonic_s() < self._not_before_s:
            return False
        try:
            if self._state is None:
                await self._start(list(self._assignment.starting))
            else:
                await self._replay(next(iter(self._assignment.starting)), self._state)
        except Exception as error:
            if not passes(error):
                raise
            self._retried(error)
            log.info("restore waits", error=str(error))
            self._later()
        return bool(self._assignment.starting) and self._clock.monotonic_s() >= self._not_before_s

    @property
    def progress(self) -> Mapping[TopicPartition, Progress]:
        """Of the partitions whose changelog is being read."""
        return {tp: replay.progress for tp, replay in self._replays.items()}

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions that are no longer ours, or have to be started anew."""
        for tp in partitions:
            self._replays.pop(tp, None)

    async def _start(self, partitions: Collection[TopicPartition]) -> None:
        offsets = await self._broker.stable_offsets(partitions)
        for topic in {tp.topic for tp in partitions}:
            await self._remember(topic)  # behind the offsets: the topic is theirs, or newer
        await self._resume({tp: self._known(tp, at) for tp, at in offsets.items()})

    async def _replay(self, tp: TopicPartition, state: State) -> None:
        changelog = TopicPartition(state.changelog, tp.partition)
        replay = self._replays.get(tp)
        if replay is None:
            offset = (await self._broker.stable_offsets([tp]))[tp]
            if offset is None:
                await self._remember(tp.topic)  # which may be why
            committed = self._known(tp, offset)
            end = (await self._broker.end_offsets([changelog]))[changelog]
            begin = (await self._broker.begin_offsets([changelog]))[changelog]
            tell_at_s = self._clock.monotonic_s() + _TELL_EVERY_S
            replay = self._replays[tp] = _Replay(committed, begin, end, tell_at_s)
        chunk = self._settings.restore_chunk_records
        records = await self._broker.read(changelog, replay.next, replay.end, chunk)
        if records:
            state.restore(tp.partition, records)
            replay.next = records[-1].offset() + 1
            replay.records += len(records)
            self._tell(tp, replay)
            return
        await self._check(tp, changelog, replay, state)

    async def _check(self, tp: TopicPartition, changelog: TopicPartition, replay: _Replay, state: State) -> None:
        found = state.restored(tp.partition)
        topic_id = await self._broker.topic_id(tp.topic)
        if found is not None and found[0] != topic_id:
            raise RECREATED.error(
                f"{tp}: {changelog} was written for topic id {found[0]}, but {tp.topic} now has id {topic_id}"
            )
        self._same(tp.topic, topic_id)
        next_offset = 0 if found is None else found[1]
        if next_offset == replay.committed:
            del self._replays[tp]
            log.info("restored", partition=str(tp), offset=replay.committed, changelog_records=replay.records)
            state.begin(tp.partition, topic_id)
            await self._resume({tp: replay.committed})
            return
        now_s = self._clock.monotonic_s()
        if replay.deadline_s is None:  # from the first look on, however long all that came before took to read
            replay.deadline_s = now_s + self._settings.restore_deadline_s
        if now_s > replay.deadline_s:
            raise DIFFERS.error(
                f"{tp}: the committed offset is {replay.committed}, but {changelog} ends with next input offset"
                f" {next_offset}"
            )
        # The end of a transaction reaches its partitions one after the other: the changelog's turn may still come.
        replay.end = (await self._broker.end_offsets([changelog]))[changelog]
        replay.committed = self._known(tp, (await self._broker.stable_offsets([tp]))[tp])
        self._later()

    def _tell(self, tp: TopicPartition, replay: _Replay) -> None:
        if self._clock.monotonic_s() < replay.tell_at_s:
            return
        replay.tell_at_s = self._clock.monotonic_s() + _TELL_EVERY_S
        restored, remaining = replay.progress
        log.info("restoring", partition=str(tp), changelog_records=restored, remaining=remaining)

    async def _remember(self, topic: str) -> None:
        self._same(topic, await self._broker.topic_id(topic))

    def _same(self, topic: str, topic_id: str) -> None:
        known = self.topic_ids.setdefault(topic, topic_id)
        if known != topic_id:
            raise REPLACED.error(
                f"{topic} was deleted and made again while stage {self._settings.stage} read it: its id was {known},"
                f" now it is {topic_id}"
            )

    async def _resume(self, offsets: dict[TopicPartition, int]) -> None:
        await self._broker.seek(offsets)
        await self._broker.resume(offsets)
        for tp, offset in offsets.items():
            self._assignment.start(tp, offset)

    def _known(self, tp: TopicPartition, offset: int | None) -> int:
        if offset is None:
            raise NO_OFFSET.error(f"{tp}: no committed offset for stage {self._settings.stage}")
        return offset

    def _later(self) -> None:
        self._not_before_s = self._clock.monotonic_s() + _RETRY_S
