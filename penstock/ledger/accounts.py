"""The equations of the ledger: what every record that was taken in must have become.

Pure: tallies per account and source go in, problems come out. An account is one place that holds records:

| account                     | what is counted                                                           |
|-----------------------------|---------------------------------------------------------------------------|
| raw, unique, duplicate, late, enriched, scored | the topic `events.<account>` (`duplicate`: events.duplicates) |
| dlq.<stage>                 | dead letters, each once by the coordinate of its original; not the purged |
| purged.<stage>              | dead letters that were thrown away on purpose, by the audit's word        |
| retry.<stage>               | dead letters that were sent back: the topic; for ingest the audit's word  |
| postgres, parquet           | rows of the table, rows of the files that a manifest names                |

`dead.<stage>` stands for `dlq.<stage> + purged.<stage> - retry.<stage>`: what rests with the dead for good.
Every equation must hold for every source in counts and in sums of hashes, so that one lost and one doubled record do
not cancel out. The hops between two neighbouring topics follow from nothing else and are judged too: they say where a
record went astray, and a doubled one between them would reach the WebSocket even though the table drops it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.ledger.tally import NOTHING, Tally

STAGES = ("dedup", "enrich", "sentiment", "sink-postgres", "sink-s3")
"""The stages whose dead letters are part of an equation."""
OUTSIDE = "ingest"
"""The stage whose dead letters stand outside: nothing of theirs was ever in events.raw."""
ALL_STAGES = (OUTSIDE, *STAGES)
SINKS = {"postgres": "sink-postgres", "parquet": "sink-s3"}
"""Account of a store to the stage that fills it."""

Book = Mapping[str, Tally]
"""Account to tally, of one source."""
Counts = Mapping[str, Mapping[str, Tally]]
"""Account to source to tally: what the readers hand over."""


@dataclass(frozen=True, slots=True)
class Equation:
    """`left` is the sum of `right`. `look` says to a person where to look when it is not.

    `stage` is the one that stands between both sides; None for an equation that spans several hops.
    """

    left: str
    right: tuple[str, ...]
    look: str
    stage: str | None

    @property
    def name(self) -> str:
        return f"{self.left} = {' + '.join(self.right)}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not add up.

    `difference` is what stands on the left of the equation minus what stands on its right, in records; 0 where the
    counts agree and the records do not. `stage` is the one to suspect, where that is known.
    """

    source: str
    equation: str
    difference: int
    detail: str
    look: str
    stage: str | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.equation} does not hold: {self.detail}. {self.look}"


_HOPS = (
    Equation(
        "raw",
        ("unique", "duplicate", "late", "dead.dedup"),
        "Look at dedup: is it running (`penstock services`), its log, its dead letters",
        "dedup",
    ),
    Equation("unique", ("enriched", "dead.enrich"), "Look at enrich: is it running, its log", "enrich"),
    Equation("enriched", ("scored", "dead.sentiment"), "Look at sentiment: is it running, its log", "sentiment"),
)
_SINK_HOPS = {
    "postgres": Equation(
        "scored",
        ("postgres", "dead.sink-postgres"),
        "Look at sink-postgres: is it running, its log, the tables `events` and `offsets`",
        "sink-postgres",
    ),
    "parquet": Equation(
        "scored",
        ("parquet", "dead.sink-s3"),
        "Look at sink-s3: is it running (a file closes by size, age and idleness), its log, the manifests",
        "sink-s3",
    ),
}


def equations(sinks: Collection[str]) -> tuple[Equation, ...]:
    """All that must hold, in flow order, where `sinks` (keys of `SINKS`) are the stores that are judged."""
    judged = [store for store in SINKS if store in sinks]
    ends = tuple(
        Equation(
            "unique",
            (store, "dead.enrich", "dead.sentiment", f"dead.{SINKS[store]}"),
            "Look at the hop between events.unique and the store that does not hold",
            None,
        )
        for store in judged
    )
    return _HOPS + tuple(_SINK_HOPS[store] for store in judged) + ends


def by_source(counts: Counts) -> dict[str, dict[str, Tally]]:
    """The same tallies as one book per source, sources in order of name."""
    books: dict[str, dict[str, Tally]] = {
        source: {} for source in sorted({source for tallies in counts.values() for source in tallies})
    }
    for account, tallies in counts.items():
        for source, tally in tallies.items():
            books[source][account] = tally
    return books


def balance(book: Book, account: str) -> Tally:
    """What one account holds; `dead.<stage>` is worked out."""
    if account.startswith("dead."):
        stage = account.removeprefix("dead.")
        dead = book.get(f"dlq.{stage}", NOTHING) + book.get(f"purged.{stage}", NOTHING)
        return dead - book.get(f"retry.{stage}", NOTHING)
    return book.get(account, NOTHING)


def judge(books: Mapping[str, Book], sinks: Collection[str]) -> list[Problem]:
    """Everything that does not add up, by source and then in flow order."""
    judged = equations(sinks)
    return [problem for source, book in books.items() for problem in _of_source(source, book, judged)]


def _of_source(source: str, book: Book, judged: Sequence[Equation]) -> Iterator[Problem]:
    for stage in STAGES:
        dead = balance(book, f"dead.{stage}")
        if dead.count < 0:
            yield Problem(
                source,
                f"dead.{stage} = dlq.{stage} + purged.{stage} - retry.{stage}",
                dead.count,
                f"{-dead.count:,} more were sent back than ever died",
                f"Look at retry.{stage}: something else than `penstock dlq retry` wrote to it, or dlq.{stage} was cut",
            )
    broken: list[str] = []
    for equation in judged:
        left = balance(book, equation.left)
        terms = [balance(book, account) for account in equation.right]
        right = sum(terms, NOTHING)
        if left == right:
            continue
        look = equation.look
        if equation.stage is not None:
            broken.append(equation.name)
        elif broken:
            look = f"Look at the hops that do not hold: {'; '.join(broken)}"
        difference = left.count - right.count
        yield Problem(source, equation.name, difference, _detail(left, terms, right), look, equation.stage)


def with_lag(problems: Sequence[Problem], lag: Mapping[str, int]) -> list[Problem]:
    """The same problems; those at a stage that has something left to read say so, since that may be all there is to it.

    `lag` has the records, transaction markers included, that each stage has still to read.
    """
    return [
        replace(problem, look=f"{problem.stage} has up to {lag[problem.stage]:,} records still to read. {problem.look}")
        if problem.stage is not None and lag.get(problem.stage)
        else problem
        for problem in problems
    ]


def _detail(left: Tally, terms: Sequence[Tally], right: Tally) -> str:
    figures = f"{left.count:,} = {' + '.join(f'{term.count:,}' for term in terms)}"
    difference = left.count - right.count
    if difference > 0:
        return f"{figures}: {difference:,} lost, or not there yet"
    if difference < 0:
        return f"{figures}: {-difference:,} too many"
    return f"{figures}: the counts agree, the records do not; as many were doubled as were lost, or their uids changed"
