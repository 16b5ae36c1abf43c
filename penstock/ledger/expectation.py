"""What a replay says it sent, held against what the ledger counted.

The equations of `accounts` hold for a dedup that calls everything unique, and for one that calls everything a
duplicate. What a replay sent, and how many different events an oracle of its own found in it, does not.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from penstock.errors import PermanentError
from penstock.ledger.accounts import Book, Problem, balance

FORMAT = 1
"""Of the manifests that this version reads."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The manifest of one replay of one source.

    Attributes:
        path: the file it was read from, for messages.
        sent: events written to events.raw, planted duplicates included.
        unique: different events among them, by the replay's own oracle.
        lines: read from the replay's files; `skipped` of them were no events, by reason.
        planted: duplicates put in on purpose.
        complete: False while the replay runs, or after it was killed.
        repeated: an earlier, killed replay had sent some of the same events; how many is not known.
    """

    path: str
    source: str
    sent: int
    unique: int
    lines: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    planted: int = 0
    complete: bool = True
    repeated: bool = False


def read_expectation(path: Path) -> Expectation:
    """Raises PermanentError for a file that is no manifest of a replay, OSError for one that cannot be read."""
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        if found["manifest"] != FORMAT:
            raise PermanentError(
                f"{path}: a manifest of format {found['manifest']}, and this version reads format {FORMAT}"
            )
        return Expectation(
            path=str(path),
            source=str(found["source"]),
            sent=int(found["sent"]),
            unique=int(found["unique"]),
            lines=int(found["lines"]),
            skipped={str(reason): int(count) for reason, count in found["skipped"].items()},
            planted=int(found["planted"]),
            complete=bool(found["complete"]),
            repeated=bool(found["repeated"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PermanentError(
            f"{path} is no manifest of a replay ({type(error).__name__}: {error}); `penstock replay --manifest FILE`"
            " writes one"
        ) from error


def compare(books: Mapping[str, Book], expectations: Collection[Expectation]) -> list[Problem]:
    """Every way in which the counts differ from the manifests.

    Several manifests of one source are added up: their events must be different ones, and the topics must hold
    nothing of that source but what they tell of.
    """
    sources = sorted({expectation.source for expectation in expectations})
    return [
        problem
        for source in sources
        for problem in _of_source(
            source, books.get(source, {}), [expectation for expectation in expectations if expectation.source == source]
        )
    ]


def _of_source(source: str, book: Book, told: Collection[Expectation]) -> Iterator[Problem]:
    sent = sum(expectation.sent for expectation in told)
    unique = sum(expectation.unique for expectation in told)
    files = ", ".join(expectation.path for expectation in told)
    for open_ended in (expectation for expectation in told if not expectation.complete):
        yield Problem(
            source,
            "the replay ended",
            0,
            f"{open_ended.path} says that it did not",
            "Wait for `penstock replay`, or run it again with the same manifest if it was killed",
        )
    more_may_be = any(expectation.repeated for expectation in told)
    checks = (
        ("raw", "sent", sent, more_may_be, "Look at the replay's end, and for other events of this source"),
        (
            "unique",
            "unique by the manifest",
            unique,
            False,
            "Look at dedup: it takes too few or too many for duplicates",
        ),
        ("duplicate", "sent - unique by the manifest", sent - unique, more_may_be, "Look at dedup and at events.late"),
    )
    for account, name, told_count, at_least, look in checks:
        counted = balance(book, account).count
        if counted < told_count or (counted > told_count and not at_least):
            sign = ">=" if at_least else "="
            detail = f"{counted:,} counted, {told_count:,} by {files}"
            yield Problem(source, f"{account} {sign} {name}", counted - told_count, detail, look)
