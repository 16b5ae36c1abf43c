"""Two processes of one stage and slot fence each other: both go on, and say what to do."""

from collections.abc import Sequence

from structlog.testing import capture_logs

from penstock.stream.handler import Output
from penstock.stream.port import Record
from penstock.testing import Cluster, MemoryBroker
from penstock.testing.builders import outgoing
from penstock.testing.drain import drain


class Usurped:
    """Copies; while it handles its first batch, somebody else starts under the same transactional id."""

    def __init__(self, cluster: Cluster) -> None:
        self._other = MemoryBroker(cluster, topics=(), transactional_id="penstock.copy.0")
        self._started = False

    async def process(self, batch: Sequence[Record]) -> Output:
        if not self._started:
            self._started = True
            await self._other.start()
        return Output(forward={"copies": list(batch)})


def test_a_fenced_stage_says_what_may_have_fenced_it_and_loses_nothing() -> None:
    cluster = Cluster()
    for topic in ("originals", "copies", "dlq.copy"):
        cluster.create_topic(topic)
    cluster.send([outgoing("originals", b"1"), outgoing("originals", b"2")])
    with capture_logs() as logs:
        drain(cluster, Usurped(cluster), "originals", stage="copy")
    assert [record.value() for record in cluster.records("copies")] == [b"1", b"2"]
    (reason,) = [entry["reason"] for entry in logs if entry["event"] == "starting over"]
    assert "PENSTOCK_SLOT" in reason
