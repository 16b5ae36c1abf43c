"""What a producer outside handed in, and what of it it was told is in."""

from collections import Counter


class Offered:
    """Names of records or events to how often each must be found at `least`, and may be at `most`.

    What lies between the two was handed in and its answer never came: it may be in or not.
    """

    def __init__(self) -> None:
        self.least: Counter[bytes] = Counter()
        self.most: Counter[bytes] = Counter()

    def hand_in(self, *names: bytes) -> None:
        """Whatever becomes of them."""
        self.most.update(names)

    def acknowledge(self, *names: bytes) -> None:
        """Of those handed in: they are in for good."""
        self.least.update(names)
