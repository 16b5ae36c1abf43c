"""What became, or would become, of the letters that a `penstock dlq retry` or `purge` was asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.dlq.way_back import Refusal
from penstock.ledger.audit import SettledLetter
from penstock.ledger.identity import identity_of
from penstock.ledger.letters import DeadLetter
from penstock.ledger.tally import Tallies, Tally
from penstock.stream.port import TopicPartition

_NAMED = 10
"""Letters named per refusal: there may be a million."""


@dataclass(slots=True)
class Refused:
    """Letters refused for one reason; `detail` is about the first of them, `letters` names the first few."""

    detail: str
    count: int = 0
    letters: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """
    Attributes:
        before: letters that were asked for, and settled by an earlier command.
        unreadable: records among the dead letters that are none; no command touches them.
        names: of the letters that were looked at because they were named.
        deleted: partitions of dead letters, and the offset before which their records were deleted.
    """

    refused: dict[str, Refused] = field(default_factory=dict)
    before: int = 0
    unreadable: int = 0
    names: set[str] = field(default_factory=set)
    deleted: dict[TopicPartition, int] = field(default_factory=dict)
    _settled: dict[str, Tallies] = field(default_factory=dict)

    @property
    def settled(self) -> Mapping[str, Mapping[str, Tally]]:
        """Stage to source to what of it was sent back or thrown away."""
        return {stage: tallies.read() for stage, tallies in self._settled.items()}

    @property
    def count(self) -> int:
        return sum(tally.count for sources in self.settled.values() for tally in sources.values())

    @property
    def refusals(self) -> int:
        return sum(refused.count for refused in self.refused.values())

    def settle(self, stage: str, letters: Iterable[SettledLetter]) -> None:
        tallies = self._settled.setdefault(stage, Tallies())
        for letter in letters:
            tallies.add(*identity_of(letter.uid, letter.source, letter.place))

    def refuse(self, letter: DeadLetter, refusal: Refusal) -> None:
        refused = self.refused.setdefault(refusal.reason, Refused(refusal.detail))
        refused.count += 1
        if len(refused.letters) < _NAMED:
            refused.letters.append(letter.id)

    def as_json(self) -> dict[str, Any]:
        return {
            "settled": {
                stage: {source: tally.count for source, tally in sorted(sources.items())}
                for stage, sources in self.settled.items()
            },
            "refused": {
                reason: {"count": refused.count, "detail": refused.detail, "letters": refused.letters}
                for reason, refused in self.refused.items()
            },
            "settled_before": self.before,
            "unreadable": self.unreadable,
            "deleted": {f"{tp.topic}/{tp.partition}": offset for tp, offset in self.deleted.items()},
        }
