"""A handler that has to ask somebody outside does so with nothing open, and gets its batch again."""

from collections.abc import Sequence

from penstock.errors import TransientError
from penstock.stream.handler import Output
from penstock.stream.port import Record
from penstock.testing import Cluster
from penstock.testing.builders import outgoing
from penstock.testing.drain import drain

VALUES = [b"1", b"2", b"3", b"4"]


class Asks:
    """Copies; before it does it asks about each value, and nobody answers the first `silences` times."""

    def __init__(self, cluster: Cluster, silences: int = 0) -> None:
        self._cluster = cluster
        self._silences = silences
        self._known: set[bytes | None] = set()
        self.seen: list[list[bytes | None]] = []
        """What a reader saw while it asked."""

    def must_ask(self, batch: Sequence[Record]) -> bool:
        return any(record.value() not in self._known for record in batch)

    async def ask(self, batch: Sequence[Record]) -> None:
        self.seen.append([record.value() for record in self._cluster.records("copies")])
        if self._silences > 0:
            self._silences -= 1
            raise TransientError("nobody answers")
        self._known.add(next(record.value() for record in batch if record.value() not in self._known))

    async def process(self, batch: Sequence[Record]) -> Output:
        assert not self.must_ask(batch)
        return Output(forward={"copies": list(batch)})


def cluster(partitions: int = 1) -> Cluster:
    made = Cluster()
    made.create_topic("originals", partitions)
    made.create_topic("copies")
    made.create_topic("dlq.copy")
    made.send([outgoing("originals", value, partition=at % partitions) for at, value in enumerate(VALUES)])
    return made


def test_what_came_before_is_committed_before_it_asks() -> None:
    made = cluster()
    handler = Asks(made)
    drain(made, handler, "originals", stage="copy", max_records=1)
    assert handler.seen == [VALUES[:count] for count in range(4)]
    assert [record.value() for record in made.records("copies")] == VALUES


def test_what_it_learns_bit_by_bit_is_processed_once_it_is_whole() -> None:
    made = cluster()
    handler = Asks(made)
    drain(made, handler, "originals", stage="copy")
    assert handler.seen == [[], [], [], []]
    assert [record.value() for record in made.records("copies")] == VALUES


def test_while_nobody_answers_nothing_is_lost_or_doubled() -> None:
    made = cluster(partitions=2)
    handler = Asks(made, silences=3)
    drain(made, handler, "originals", stage="copy", max_records=1)
    assert len(handler.seen) == 3 + 4
    assert sorted(record.value() or b"" for record in made.records("copies")) == VALUES
