"""The record of what was done with dead letters: who sent which back, who threw which away (topic dlq.audit).

A letter that an action names is settled: no later command takes it up. It is known by the place of its original, so
that two letters of one original, which a sink's crash leaves, are settled together; a letter that was sent back and
died again has another original, in retry.<stage>.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from penstock.errors import DataError
from penstock.ledger.identity import Place, identity_of
from penstock.ledger.letters import DeadLetter
from penstock.ledger.tally import Tallies, Tally

TOPIC = "dlq.audit"
RECORD = "dlq_action"
_SUM_BYTES = 16


class Command(StrEnum):
    """What was done with the letters."""

    RETRY = "retry"
    PURGE = "purge"


@dataclass(frozen=True, slots=True)
class SettledLetter:
    """One letter of an action.

    `place` is that of its original, the letter's own where the original never was in Kafka: what it is counted by.
    `partition` and `offset` say where the letter stands, or stood, in dlq.<stage>.
    """

    partition: int
    offset: int
    place: Place
    timestamp_ms: int
    uid: bytes | None
    source: str | None
    attempts: int

    @staticmethod
    def of(letter: DeadLetter, dlq_topic_id: str) -> "SettledLetter":
        return SettledLetter(
            letter.dlq_partition,
            letter.dlq_offset,
            letter.place(dlq_topic_id),
            letter.timestamp_ms,
            letter.uid,
            letter.source,
            letter.attempts,
        )


@dataclass(frozen=True, slots=True)
class Action:
    """One record of dlq.audit: the letters of one stage that were settled in one transaction of one run."""

    command: Command
    run: str
    who: str
    at_ms: int
    stage: str
    filters: str
    letters: tuple[SettledLetter, ...]

    @property
    def tallies(self) -> dict[str, Tally]:
        """Source to what of it was settled."""
        found = Tallies()
        for letter in self.letters:
            found.add(*identity_of(letter.uid, letter.source, letter.place))
        return found.read()

    def to_record(self) -> dict[str, Any]:
        """The fields of schemas/avro/dlq_action."""
        return {
            "command": self.command.value,
            "run": self.run,
            "who": self.who,
            "at": self.at_ms,
            "stage": self.stage,
            "filters": self.filters,
            "tallies": [
                {"source": source, "count": tally.count, "hash_sum": tally.hash_sum.to_bytes(_SUM_BYTES, "big")}
                for source, tally in self.tallies.items()
            ],
            "letters": [
                {
                    "partition": letter.partition,
                    "offset": letter.offset,
                    "origin_topic_id": letter.place.topic_id,
                    "origin_partition": letter.place.partition,
                    "origin_offset": letter.place.offset,
                    "timestamp": letter.timestamp_ms,
                    "uid": letter.uid,
                    "source": letter.source,
                    "attempts": letter.attempts,
                }
                for letter in self.letters
            ],
        }


def action_of(record: Mapping[str, Any]) -> Action:
    """From a decoded record.

    Raises:
        DataError: a command that this version does not know.
    """
    try:
        command = Command(record["command"])
    except ValueError:
        raise DataError("unknown-command", f"{record['command']!r} is no command that settles letters") from None
    return Action(
        command,
        record["run"],
        record["who"],
        record["at"],
        record["stage"],
        record["filters"],
        tuple(
            SettledLetter(
                letter["partition"],
                letter["offset"],
                Place(letter["origin_topic_id"], letter["origin_partition"], letter["origin_offset"]),
                letter["timestamp"],
                letter["uid"],
                letter["source"],
                letter["attempts"],
            )
            for letter in record["letters"]
        ),
    )


class Done(NamedTuple):
    """What was done with a letter, by whom, and when (ms since 1970-01-01 UTC)."""

    command: Command
    who: str
    at_ms: int


class Settled:
    """Which letters were settled, by the places of their originals. Takes some hundred bytes for each."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, int], dict[int, Done]] = {}

    def add(self, action: Action) -> None:
        done = Done(action.command, action.who, action.at_ms)
        for letter in action.letters:
            topic_id, partition, offset = letter.place
            self._done.setdefault((topic_id, partition), {})[offset] = done

    def of(self, place: Place) -> Done | None:
        """What was done with the letter of the original that stood there; None where it still rests."""
        return self._done.get((place.topic_id, place.partition), {}).get(place.offset)
