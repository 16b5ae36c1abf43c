"""What a stage does when its commit does not end well, on the in-memory broker: nothing is lost, nothing doubled."""

from collections.abc import Mapping, Sequence

import pytest

from penstock.errors import SystemFaultError
from penstock.stream.handler import Output
from penstock.stream.port import Membership, Outcome, Record, TopicPartition
from penstock.stream.settings import LoopSettings
from penstock.testing import Cluster, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import (
    GROUP,
    IN,
    OUT,
    STAGE,
    Ending,
    PassOn,
    Shelf,
    cluster,
    ending,
    loop_of,
    running,
    sink_loop_of,
)

DEADLINE_S = 4.0
SETTINGS = LoopSettings(STAGE, commit_deadline_s=DEADLINE_S)


class Counts(Ending):
    """How often the loop asked for what."""

    aborts = renewals = 0

    async def abort(self) -> Outcome:
        self.aborts += 1
        return await super().abort()

    async def renew(self) -> None:
        self.renewals += 1
        await super().renew()


def counts(on: Cluster, *outcomes: Outcome) -> Counts:
    broker = Counts(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
    broker.outcomes = outcomes
    return broker


def filled() -> tuple[Cluster, list[bytes]]:
    on, sent = cluster(), [b"%d" % number for number in range(20)]
    on.send([outgoing(IN, value) for value in sent])
    return on, sent


def passed_on(on: Cluster) -> Sequence[bytes | None]:
    return [record.value() for record in on.records(OUT)]


@pytest.mark.verdict("unknown commit")
def test_an_unknown_commit_is_called_again_and_never_aborted() -> None:
    async def story() -> None:
        on, sent = filled()
        broker = counts(on, *[Outcome.UNKNOWN] * 5)
        await running(loop_of(on, PassOn(), SETTINGS, broker), until=lambda: on.is_drained(GROUP, IN))
        assert passed_on(on) == sent
        assert (broker.aborts, broker.renewals) == (0, 0)

    run_in_virtual_time(story())


class AckLost(Counts):
    """The first commit goes through, and nobody ever says so."""

    went_through = False

    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        if self.renewals:
            return await super().commit(offsets, membership)
        if not self.went_through:
            self.went_through = await super().commit(offsets, membership) is Outcome.COMMITTED
        return Outcome.UNKNOWN


@pytest.mark.verdict("unknown commit")
@pytest.mark.parametrize("kind", [Counts, AckLost])
def test_past_the_deadline_the_stable_offset_tells_whether_an_unknown_commit_went_through(kind: type[Counts]) -> None:
    async def story() -> None:
        on, sent = filled()
        broker = kind(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        if kind is Counts:
            broker.outcomes = [Outcome.UNKNOWN] * int(2 * DEADLINE_S / SETTINGS.retry_pause_s)
        loop = loop_of(on, PassOn(), SETTINGS, broker)
        await running(loop, until=lambda: on.is_drained(GROUP, IN) and broker.renewals > 0 and loop.ready)
        assert passed_on(on) == sent
        assert broker.aborts == 0

    run_in_virtual_time(story())


@pytest.mark.verdict("fenced")
@pytest.mark.verdict("fatal")
def test_a_fenced_producer_is_replaced_and_everything_read_from_the_stable_offset() -> None:
    async def story() -> None:
        on, sent = filled()
        broker = counts(on, Outcome.FENCED, Outcome.FENCED)
        await running(loop_of(on, PassOn(), SETTINGS, broker), until=lambda: on.is_drained(GROUP, IN))
        assert passed_on(on) == sent
        assert broker.renewals == 2

    run_in_virtual_time(story())


class Times(PassOn):
    """When it was given a batch."""

    def __init__(self, on: Cluster) -> None:
        super().__init__()
        self._on = on
        self.at_s: list[float] = []

    async def process(self, batch: Sequence[Record]) -> Output:
        self.at_s.append(self._on.now_s)
        return await super().process(batch)


@pytest.mark.verdict("abortable")
def test_what_was_aborted_comes_again_at_once_and_then_with_pauses_that_grow() -> None:
    async def story() -> None:
        on, sent = filled()
        handler = Times(on)
        broker = counts(on, *[Outcome.ABORTED] * 5)
        await running(loop_of(on, handler, SETTINGS, broker), until=lambda: on.is_drained(GROUP, IN))
        assert passed_on(on) == sent
        pauses = [after - before for before, after in zip(handler.at_s, handler.at_s[1:], strict=False)]
        assert pauses[0] < 0.2
        assert [pause for pause in pauses if pause >= 0.2] == pytest.approx([0.2, 0.4, 0.8, 1.6], abs=0.3)

    run_in_virtual_time(story())


class Refuses(Counts):
    async def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> Outcome:
        await self.abort()
        raise SystemFaultError("the clock is ahead")


@pytest.mark.verdict("invalid timestamp")
def test_a_refusal_that_would_come_again_stops_the_stage_with_nothing_written() -> None:
    async def story() -> None:
        on, sent = filled()
        refusing = Refuses(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        with pytest.raises(SystemFaultError, match="the clock is ahead"):
            await running(loop_of(on, PassOn(), SETTINGS, refusing), until=lambda: False)
        assert passed_on(on) == []
        await running(loop_of(on, PassOn(), SETTINGS), until=lambda: on.is_drained(GROUP, IN))
        assert passed_on(on) == sent

    run_in_virtual_time(story())


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FENCED, Outcome.ABORTED])
def test_a_sink_tells_its_group_again_whatever_became_of_it(outcome: Outcome) -> None:
    async def story() -> None:
        on, sent = filled()
        shelf, broker = Shelf(), ending(on, *[outcome] * 3)
        loop = sink_loop_of(on, shelf, SETTINGS, broker)
        await running(loop, until=lambda: on.is_drained(GROUP, IN) and not broker.outcomes)
        assert shelf.stored == sent

    run_in_virtual_time(story())
