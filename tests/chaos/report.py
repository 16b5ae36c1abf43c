"""What a run found, for a program and for a person."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.chaos.fleet import Ended
from tests.chaos.judge import Finding


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened; `recovery_s` from its end until all was as before: a stage ready, and past what had come
    in until then; a broker in sync."""

    kind: str
    target: str
    recovery_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """`ledger` is the answer of `penstock ledger --json`."""

    seed: int
    nodes: int
    took_s: float
    struck: tuple[Struck, ...]
    findings: tuple[Finding, ...]
    ledger: Mapping[str, Any]
    ended: tuple[Ended, ...]
    longest_silence_s: float

    @property
    def problems(self) -> list[str]:
        """Everything that should not be; empty if no promise was broken."""
        told = [str(finding) for finding in self.findings if not finding.good]
        return told + [f"ledger: {problem}" for problem in self.ledger["problems"]]

    @property
    def events(self) -> int:
        """Records that ingest let in, duplicates and bad ones among them."""
        return sum(source["raw"] for source in self.ledger["sources"].values())

    def markdown(self, command: str) -> str:
        """The report that is kept."""
        lost, doubled, strange, disorder = (
            sum(getattr(finding, name) for finding in self.findings)
            for name in ("lost", "doubled", "strange", "out_of_order")
        )
        return "\n".join(
            [
                f"`{command}`",
                "",
                f"{self.took_s / 60:.0f} minutes, {self.nodes} brokers, seed {self.seed}: "
                f"**{len(self.struck):,} faults, {self.events:,} events; {lost} lost, {doubled + strange} doubled or "
                f"from nowhere, {disorder} out of order**; the ledger "
                f"{'balances' if self.ledger['balanced'] else 'does not balance'}. "
                f"Longest silence at the end of the chain: {self.longest_silence_s:.1f} s.",
                "",
                "| fault | of | times | recovery, median | longest |",
                "|---|---|---|---|---|",
                *self._faults(),
                "",
                "| from | to | records | lost | doubled | from nowhere | out of order |",
                "|---|---|---|---|---|---|---|",
                *(
                    f"| {' | '.join(one.place.split(' -> '))} | {one.records:,} | {one.lost} | {one.doubled} | "
                    f"{one.strange} | {one.out_of_order} |"
                    for one in self.findings
                ),
                "",
                "| source | raw | unique | duplicate | late | dead | Postgres | Parquet |",
                "|---|---|---|---|---|---|---|---|",
                *(
                    f"| {name} | {book['raw']:,} | {book['unique']:,} | {book['duplicate']:,} | {book['late']} | "
                    f"{sum(book['dead'].values()):,} | {book['postgres']:,} | {book['parquet']:,} |"
                    for name, book in self.ledger["sources"].items()
                ),
                "",
                *self._ends(),
                *(f"- **{problem}**" for problem in self.problems),
            ]
        )

    def _faults(self) -> list[str]:
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        for one in self.struck:
            times[one.kind, one.target].append(one.recovery_s)
        return [
            f"| {kind} | {target} | {len(took)} | {median(took):.1f} s | {max(took):.1f} s |"
            for (kind, target), took in sorted(times.items())
        ]

    def _ends(self) -> list[str]:
        """Processes that ended by themselves and were started again."""
        if not self.ended:
            return ["No process ended by itself.", ""]
        counts: dict[tuple[str, int], int] = defaultdict(int)
        for one in self.ended:
            counts[one.name, one.code] += 1
        told = ", ".join(f"{name} {count} times with code {code}" for (name, code), count in sorted(counts.items()))
        return [f"Ended by themselves and were started again: {told}.", ""]
