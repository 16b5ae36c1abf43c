"""A stage is run on the in-memory cluster until its input is used up."""

from collections.abc import Sequence

import pytest

from penstock.errors import PermanentError
from penstock.stream.handler import Output
from penstock.stream.port import Record
from penstock.testing import Cluster
from penstock.testing.builders import outgoing
from penstock.testing.drain import drain


class PassOn:
    async def process(self, batch: Sequence[Record]) -> Output:
        return Output(forward={"out": list(batch)})


class Fail:
    async def process(self, batch: Sequence[Record]) -> Output:
        raise PermanentError("it can not go on")


def cluster_with(*values: bytes) -> Cluster:
    cluster = Cluster()
    cluster.create_topic("in", partitions=3)
    cluster.create_topic("out", partitions=3)
    cluster.send([outgoing("in", value) for value in values])
    return cluster


def test_a_second_drain_goes_on_where_the_first_one_stopped() -> None:
    cluster = cluster_with(b"a", b"b")
    drain(cluster, PassOn(), "in", stage="pass")
    cluster.send([outgoing("in", b"c")])
    drain(cluster, PassOn(), "in", stage="pass")
    assert sorted(record.value() or b"" for record in cluster.records("out")) == [b"a", b"b", b"c"]


def test_a_stage_that_stops_says_why() -> None:
    with pytest.raises(PermanentError, match="it can not go on"):
        drain(cluster_with(b"a"), Fail(), "in", stage="fail")
