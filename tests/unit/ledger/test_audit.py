"""What is written down about settled letters is read again, and counts each original once."""

import asyncio
from dataclasses import replace

import pytest

from penstock.errors import DataError
from penstock.ledger.audit import Action, Command, Done, Settled, SettledLetter, action_of
from penstock.ledger.identity import Place
from penstock.ledger.letter_count import LetterCount
from penstock.ledger.tally import UNKNOWN, Tally, hash_of_coordinate, hash_of_uid
from penstock.schema import files
from penstock.schema.codec import Codec, Decoder
from tests.unit.cli.test_dead_letter import LETTER
from tests.unit.schema.test_codec import Schemas

UID = b"u" * 16
ORIGIN = Place("an-id", 3, 99)
SETTLED = SettledLetter(0, 12, ORIGIN, 1000, UID, "github", 2)
NAMELESS = SettledLetter(0, 13, Place("an-id", 3, 100), 1000, None, None, 1)
ACTION = Action(Command.PURGE, "run", "me@here", 2000, "enrich", "--stage enrich", (SETTLED, NAMELESS))


def test_an_action_survives_the_round_trip_with_its_tallies() -> None:
    schema = files.latest("dlq_action")
    decoder = Decoder(Schemas({1: schema}), "dlq_action")
    framed = Codec(1, schema).encode(ACTION.to_record())
    asyncio.run(decoder.prepare([framed]))
    fields = decoder.decode(framed)
    assert action_of(fields) == ACTION
    assert {one["source"]: (one["count"], int.from_bytes(one["hash_sum"], "big")) for one in fields["tallies"]} == {
        "github": (1, hash_of_uid(UID) % 2**128),
        UNKNOWN: (1, hash_of_coordinate("an-id", 3, 100) % 2**128),
    }


def test_a_command_of_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(DataError, match="'mend' is no command"):
        action_of(ACTION.to_record() | {"command": "mend"})


def test_a_letter_is_settled_by_the_place_of_its_original_or_by_its_own() -> None:
    assert SettledLetter.of(replace(LETTER, origin=ORIGIN), "dlq-id").place == ORIGIN
    assert SettledLetter.of(replace(LETTER, origin=None), "dlq-id").place == Place("dlq-id", 0, 12)
    settled = Settled()
    settled.add(ACTION)
    assert settled.of(ORIGIN) == Done(Command.PURGE, "me@here", 2000)
    assert [settled.of(other) for other in (Place("an-id", 3, 98), Place("an-id", 2, 99), Place("id", 3, 99))] == [
        None, None, None
    ]  # fmt: skip


@pytest.mark.parametrize("letter_is_read", ["before", "after", "never"])
def test_a_purge_moves_an_original_from_the_dead_to_the_purged_whatever_is_left_of_its_letter(
    letter_is_read: str,
) -> None:
    letter = replace(LETTER, origin=ORIGIN, uid=UID, source="github")
    count, own = LetterCount(), Place("dlq-id", 0, 12)
    if letter_is_read == "before":
        count.add(letter, own)
    for _ in range(2):
        count.settle(Command.PURGE, SETTLED)
    if letter_is_read == "after":
        count.add(letter, own)
    assert (count.dead(), count.retried()) == ({"github": Tally()}, {})
    assert count.purged() == {"github": Tally(1, hash_of_uid(UID) % 2**128)}


def test_what_was_sent_back_still_counts_as_having_died() -> None:
    count = LetterCount()
    count.settle(Command.RETRY, SETTLED)
    one = {"github": Tally(1, hash_of_uid(UID) % 2**128)}
    assert (count.dead(), count.purged(), count.retried()) == (one, {}, one)
