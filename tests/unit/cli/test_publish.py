"""What `penstock publish` makes of a producer's lines, without a broker."""

import io
from collections.abc import Sequence

import pytest

from penstock.cli.errors import EnvironmentProblem
from penstock.cli.publish import INBOX, MAX_LINE_BYTES, Outcome, batches_of, publish_lines
from penstock.errors import DataError, PenstockError, TransientError
from penstock.schema import files
from penstock.schema.codec import Codec
from penstock.stream.port import Outgoing

NOW_MS = 1_790_000_000_000
CODEC = Codec(7, files.latest("event"))
GOOD = b'{"id":"1","source":"mine","kind":"post","occurred_at":1420070400000}'


class Broker:
    """Takes what it is given; answers as told."""

    def __init__(self, answers: Sequence[PenstockError | None] = ()) -> None:
        self.answers = answers
        self.taken: list[Outgoing] = []

    async def publish(self, batch: Sequence[Outgoing]) -> list[PenstockError | None]:
        self.taken += batch
        return list(self.answers) or [None] * len(batch)


def lines(content: bytes) -> list[tuple[int, bytes | None]]:
    return [line for batch in batches_of(io.BytesIO(content)) for line in batch]


async def test_a_good_line_becomes_a_framed_event_in_the_inbox() -> None:
    broker, outcome = Broker(), Outcome()
    await publish_lines([(1, GOOD)], CODEC, broker, NOW_MS, outcome)
    (sent,) = broker.taken
    assert (sent.topic, sent.key, sent.timestamp_ms) == (INBOX, b"mine:1", NOW_MS)
    assert sent.value is not None
    assert sent.value.startswith(b"\0\0\0\0\x07")
    assert (outcome.published, outcome.errors) == (1, [])


@pytest.mark.parametrize(
    ("line", "reason", "field"),
    [
        (b"{", "not-json", None),
        (b"[]", "wrong-type", None),
        (b'{"source":"mine","kind":"post","occurred_at":1}', "missing-field", "id"),
        (GOOD.replace(b"post", b"rumour"), "not-allowed", "kind"),
        (GOOD.replace(b'"1"', b'"\\ud800"'), "not-json", None),
        (None, "too-large", None),
    ],
)
async def test_a_bad_line_is_named_and_the_others_are_published(
    line: bytes | None, reason: str, field: str | None
) -> None:
    broker, outcome = Broker(), Outcome()
    await publish_lines([(1, GOOD), (2, line), (3, GOOD)], CODEC, broker, NOW_MS, outcome)
    assert outcome.published == len(broker.taken) == 2
    (error,) = outcome.errors
    assert (error["line"], error["reason"], error["field"]) == (2, reason, field)


async def test_what_the_topic_does_not_take_is_an_error_of_its_line() -> None:
    outcome = Outcome()
    broker = Broker([None, DataError("too-large", "the record is larger than its topic allows")])
    await publish_lines([(1, GOOD), (2, GOOD)], CODEC, broker, NOW_MS, outcome)
    assert (outcome.published, [error["line"] for error in outcome.errors]) == (1, [2])


async def test_a_broker_that_is_away_ends_the_command_and_says_from_where() -> None:
    outcome = Outcome()
    broker = Broker([None, TransientError("the broker did not acknowledge in time")])
    with pytest.raises(EnvironmentProblem, match="line 2 and what follows"):
        await publish_lines([(1, GOOD), (2, GOOD)], CODEC, broker, NOW_MS, outcome)
    assert outcome.published == 1


def test_lines_are_numbered_as_in_the_file_and_empty_ones_left_out() -> None:
    assert lines(b"a\n\n  \nb\r\nc") == [(1, b"a"), (4, b"b\r"), (5, b"c")]
    assert lines(b"") == []


def test_a_line_cut_by_a_read_is_whole_again() -> None:
    long = b"x" * 600_000
    assert lines(long + b"\n" + long) == [(1, long), (2, long)]


def test_a_line_without_an_end_is_given_up_and_the_next_one_read() -> None:
    assert lines(b"x" * (3 * MAX_LINE_BYTES) + b"\nnext\n") == [(1, None), (2, b"next")]
    assert lines(b"x" * (2 * MAX_LINE_BYTES)) == [(1, None)]
