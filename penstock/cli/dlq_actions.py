"""The audit of dead letters as a person reads it: a line for what one run did at one stage. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from penstock.ledger.audit import Action, Command
from penstock.ledger.report import moment
from penstock.ledger.tally import NOTHING, Tally


@dataclass(slots=True)
class Run:
    """`letters` are names as in the list; `tallies` go by source."""

    run: str
    command: Command
    who: str
    at_ms: int
    stage: str
    filters: str
    letters: list[str] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, action: Action) -> None:
        self.letters += [f"{action.stage}/{letter.partition}/{letter.offset}" for letter in action.letters]
        for source, tally in action.tallies.items():
            self.tallies[source] = self.tallies.get(source, NOTHING) + tally

    def as_json(self) -> dict[str, Any]:
        """A hash sum is 32 hex digits, as the audit has it."""
        return {
            "run": self.run,
            "command": self.command.value,
            "who": self.who,
            "at": moment(self.at_ms),
            "stage": self.stage,
            "filters": self.filters,
            "count": len(self.letters),
            "sources": {
                source: {"count": tally.count, "hash_sum": f"{tally.hash_sum:032x}"}
                for source, tally in sorted(self.tallies.items())
            },
            "letters": self.letters,
        }


def runs_of(actions: Iterable[Action]) -> list[Run]:
    """In the order in which they began; a run that settled letters of several stages stands there once for each."""
    runs: dict[tuple[str, str], Run] = {}
    for action in actions:
        key = action.run, action.stage
        if key not in runs:
            runs[key] = Run(action.run, action.command, action.who, action.at_ms, action.stage, action.filters)
        runs[key].add(action)
    return list(runs.values())
