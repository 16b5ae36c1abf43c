"""How long a changelog may disagree with the committed offset before that is an error."""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import pytest

from penstock.errors import PermanentError
from penstock.stream.assignment import Assignment
from penstock.stream.handler import State
from penstock.stream.port import Broker, Record, TopicPartition
from penstock.stream.restore import Restore
from penstock.stream.settings import LoopSettings

TP = TopicPartition("in", 0)


class Clock:
    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


class SlowLog:
    """A broker whose changelog takes 100 s to read, and whose last record comes 0.2 s after the committed offset."""

    def __init__(self, clock: Clock, committed: int | None) -> None:
        self._clock, self._committed = clock, committed

    async def stable_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return dict.fromkeys(partitions, self._committed)

    async def begin_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def read(self, *_: object) -> Sequence[Record]:
        if self._clock.now_s == 0:
            self._clock.now_s = 100.0
        return []

    async def topic_id(self, _: str) -> str:
        return "id"

    async def seek(self, _: object) -> None: ...
    async def resume(self, _: object) -> None: ...


class Late:
    """A state whose changelog says 7 only from `at_s` on."""

    changelog = "log"

    def __init__(self, clock: Clock, at_s: float, topic_id: str) -> None:
        self._clock, self._at_s, self._topic_id = clock, at_s, topic_id

    def restored(self, _: int) -> tuple[str, int]:
        return self._topic_id, 7 if self._clock.now_s >= self._at_s else 5

    def begin(self, partition: int, topic_id: str) -> None:
        assert (partition, topic_id) == (0, "id")


def restoring(
    clock: Clock, at_s: float, *, committed: int | None = 7, topic_id: str = "id"
) -> tuple[Restore, Assignment]:
    assignment = Assignment()
    assignment.assign([TP], 1)
    broker, state = cast("Broker", SlowLog(clock, committed)), cast("State", Late(clock, at_s, topic_id))
    return Restore(broker, assignment, LoopSettings("s", restore_deadline_s=30.0), clock, state), assignment


async def test_a_long_restore_does_not_use_up_the_time_in_which_the_two_may_differ() -> None:
    clock = Clock()
    restore, assignment = restoring(clock, at_s=100.2)
    for _ in range(5):
        await restore.step()
        clock.now_s += 0.1
    assert not assignment.starting


@pytest.mark.verdict("state and offset differ")
async def test_a_changelog_that_goes_on_to_differ_is_an_error() -> None:
    clock = Clock()
    restore, assignment = restoring(clock, at_s=1000.0)
    while clock.now_s < 129:
        await restore.step()
        clock.now_s += 0.1
    assert assignment.starting
    clock.now_s = 131.0
    with pytest.raises(PermanentError, match="committed offset is 7"):
        await restore.step()


@pytest.mark.verdict("topic made again")
async def test_a_changelog_of_a_topic_that_was_deleted_and_made_again_is_an_error() -> None:
    clock = Clock()
    restore, _ = restoring(clock, at_s=0.0, topic_id="of the topic before")
    with pytest.raises(PermanentError, match="written for topic id of the topic before, but in now has id id"):
        await restore.step()


@pytest.mark.verdict("no committed offset")
async def test_a_partition_without_a_committed_offset_is_an_error_that_says_how_to_begin() -> None:
    clock = Clock()
    restore, _ = restoring(clock, at_s=0.0, committed=None)
    with pytest.raises(PermanentError, match=r"no committed offset for stage s; stop: .* `penstock topics apply`"):
        await restore.step()
