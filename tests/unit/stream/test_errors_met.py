"""Both loops meet every error of the table in a poll: they go on, or end with what the table says."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from penstock.errors import Category, PenstockError, PermanentError, SystemFaultError
from penstock.stream import verdicts
from penstock.stream.port import Event
from penstock.stream.transactions import explain
from penstock.stream.verdicts import Verdict
from penstock.testing import MemoryBroker, run_in_virtual_time
from penstock.testing.builders import outgoing
from tests.unit.stream.loops import GROUP, IN, PassOn, Shelf, cluster, loop_of, running, sink_loop_of

CODES = [(row, code) for row in verdicts.ROWS for code in row.codes]
ENDS = {Category.SYSTEM: SystemFaultError, Category.PERMANENT: PermanentError}


class Meets(MemoryBroker):
    """Its third poll fails with this error, once."""

    code = 0
    polls = 0

    async def poll(self, max_records: int, timeout_s: float) -> Event:
        self.polls += 1
        if self.polls == 3:
            raise explain(KafkaException(KafkaError(self.code)), "polling")
        return await super().poll(max_records, timeout_s)


@pytest.mark.parametrize("kind", ["stage", "sink"])
@pytest.mark.parametrize(("row", "code"), CODES, ids=lambda one: getattr(one, "name", one))
def test_a_loop_goes_on_or_ends_as_the_table_says(kind: str, row: Verdict, code: int) -> None:
    async def story() -> PenstockError | None:
        on = cluster()
        on.send([outgoing(IN, b"%d" % number) for number in range(20)])
        broker = Meets(on, topics=(IN,), group=GROUP, transactional_id=f"{GROUP}.0", name="member-0")
        broker.code = code
        loop = loop_of(on, PassOn(), broker=broker) if kind == "stage" else sink_loop_of(on, Shelf(), broker=broker)
        try:
            await running(loop, until=lambda: broker.polls > 3 and on.is_drained(GROUP, IN))
        except PenstockError as error:
            return error
        return None

    ended = run_in_virtual_time(story())
    if row.category in (Category.TRANSIENT, Category.THROTTLED):
        assert ended is None
    else:
        assert isinstance(ended, ENDS[row.category])
        assert row.consequence in str(ended)
