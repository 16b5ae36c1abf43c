"""How a sink begins with partitions that somebody else had before."""

from penstock.stream.port import TopicPartition
from penstock.testing import run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import GROUP, IN, Shelf, cluster, running, sink_loop_of

FIRST = TopicPartition(IN, 0)


def test_a_group_that_was_not_told_of_the_last_commit_is_told_by_the_successor() -> None:
    async def run() -> None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(3)])
        shelf = Shelf()
        shelf.next[FIRST] = 3  # stored by one who died right after
        assert on.committed(GROUP)[FIRST] == 0
        await running(sink_loop_of(on, shelf), lambda: on.committed(GROUP)[FIRST] == 3)
        assert shelf.stored == []

    run_in_virtual_time(run())
