"""How much goes into a run: drawn from its seed, or as little as shows what is to be shown."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Size:
    """What is 0 is drawn.

    Args:
        partitions: of the input.
        slots: of each stage: how many processes it may have.
        records: how many are written, over `over_s` seconds.
        max_records: of a batch.
        steady: of what is written nothing is drawn.
    """

    partitions: int = 0
    slots: int = 0
    records: int = 0
    over_s: float = 0.0
    max_records: int = 0
    steady: bool = False

    def draw_partitions(self, chance: Random) -> int:
        return self.partitions or chance.randint(1, 3)

    def draw_slots(self, chance: Random, most: int = 3) -> int:
        return self.slots or chance.randint(1, most)

    def draw_records(self, chance: Random, most: int = 60) -> int:
        return self.records or chance.randint(5, most)

    def draw_over_s(self, chance: Random) -> float:
        return self.over_s or chance.uniform(1, 6)

    def draw_max_records(self, chance: Random) -> int:
        return self.max_records or chance.choice((1, 4, 16, 500))


DRAWN = Size()
SMALL = Size(partitions=2, slots=2, records=36, over_s=1.0, max_records=2, steady=True)
