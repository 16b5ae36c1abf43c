"""Plants exact duplicates into a stream: some right behind, some far apart."""

import heapq
import random
from typing import Generic, TypeVar

Item = TypeVar("Item")

NEAR_SHARE = 0.5
"""Of the planted ones, how many follow right behind; the others come up to FAR events later."""
FAR = 5_000


class Duplicator(Generic[Item]):
    """Of every item that is put in, a share comes out twice; which ones and where depends on the seed alone.

    Args:
        share: 0 to 1 of the items get one duplicate each, evenly chosen: `floor(share * n)` after n items.
        seed: of the choice between near and far, and of how far.
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"a share of duplicates lies between 0 and 1, not {share}")
        self._share = share
        self._random = random.Random(seed)  # noqa: S311  a test's plan, no secret
        self._put = 0
        self._waiting: list[tuple[int, int, Item]] = []
        """A heap of (put number it is due at, order of planting, item)."""
        self.planted = 0

    def put(self, item: Item) -> list[Item]:
        """What is to be sent now: the item, perhaps twice, and the duplicates that are due."""
        self._put += 1
        out = [item]
        if int(self._share * self._put) > int(self._share * (self._put - 1)):
            if self._random.random() < NEAR_SHARE:
                out.append(item)
                self.planted += 1
            else:
                due = self._put + self._random.randint(2, FAR)
                heapq.heappush(self._waiting, (due, self._put, item))
        while self._waiting and self._waiting[0][0] <= self._put:
            out.append(heapq.heappop(self._waiting)[2])
            self.planted += 1
        return out

    def rest(self) -> list[Item]:
        """The duplicates that were to come later than the stream's end."""
        found = [item for _, _, item in sorted(self._waiting, key=lambda waiting: waiting[:2])]
        self.planted += len(found)
        self._waiting.clear()
        return found
