"""Finding the few rows that a store refuses among many that it takes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def find_refused(
    rows: Sequence[T], probe: Callable[[Sequence[T]], Awaitable[Exception | None]]
) -> list[tuple[int, Exception]]:
    """Positions of the refused rows in `rows`, in order, with why.

    `probe` tries rows without keeping them and returns the store's complaint, or None. One refused row among n costs
    about 2 log2(n) probes.
    """
    refused: list[tuple[int, Exception]] = []
    pending = [(0, len(rows))]
    while pending:
        first, end = pending.pop()
        complaint = await probe(rows[first:end]) if end > first else None
        if complaint is None:
            continue
        if end - first == 1:
            refused.append((first, complaint))
            continue
        middle = (first + end) // 2
        pending += [(middle, end), (first, middle)]
    return refused
