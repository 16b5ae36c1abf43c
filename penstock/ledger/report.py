"""A verdict as programs read it: the stable form of `penstock ledger --json`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.ledger.accounts import ALL_STAGES, SINKS, balance
from penstock.ledger.count import Verdict
from penstock.ledger.tally import Tally

COUNTED = ("raw", "unique", "duplicate", "late")


def as_json(verdict: Verdict) -> dict[str, Any]:
    """`dead.ingest` is listed, and is in no equation: nothing of it ever was in events.raw. `purged` says how many of
    `dead` were thrown away on purpose. A store that is not judged is null. `since` is null where everything that ever
    came is judged."""
    return {
        "balanced": verdict.balanced,
        "as_of": moment(verdict.cut.to_ms),
        "since": None if verdict.cut.from_ms is None else moment(verdict.cut.from_ms),
        "sources": {source: _source(verdict, book) for source, book in verdict.books.items()},
        "problems": [
            {
                "source": problem.source,
                "equation": problem.equation,
                "difference": problem.difference,
                "detail": problem.detail,
                "look": problem.look,
            }
            for problem in verdict.problems
        ],
    }


def _source(verdict: Verdict, book: Mapping[str, Tally]) -> dict[str, Any]:
    counted: dict[str, Any] = {account: balance(book, account).count for account in COUNTED}
    counted["dead"] = dead(book)
    counted["purged"] = purged(book)
    for store in SINKS:
        counted[store] = balance(book, store).count if store in verdict.sinks else None
    return counted


def dead(book: Mapping[str, Tally]) -> dict[str, int]:
    """Stage to how many died there for good, the purged included."""
    return {stage: balance(book, f"dead.{stage}").count for stage in ALL_STAGES}


def purged(book: Mapping[str, Tally]) -> dict[str, int]:
    """Stage to how many of its dead were thrown away on purpose."""
    return {stage: balance(book, f"purged.{stage}").count for stage in ALL_STAGES}


def moment(ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
