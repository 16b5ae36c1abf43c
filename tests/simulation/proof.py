"""How much of what is run by scripts/test; scripts/simulate goes on from there."""

from collections.abc import Iterator

from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import SCENARIOS
from tests.simulation.sweep import WAYS
from tests.simulation.work import Piece, seeds, sweeps

RUNS = {
    "copy": 500,
    "dedup": 500,
    "postgres": 400,
    "s3": 400,
    "chain": 1000,
    "recreated": 100,
    "recreated-postgres": 60,
    "recreated-s3": 60,
    "expired": 60,
    "expired-postgres": 60,
    "expired-s3": 60,
    "overtaken": 60,
}
"""How many seeds of each scenario, beside the sweeps."""
MOST_SEEDS = 3000
"""How many a mutant may survive."""

NAMES = [*SCENARIOS, *WAYS, *MUTANTS]


def pieces(names: list[str]) -> Iterator[Piece]:
    """The work under these names; what takes long comes first, so that no processor waits for another in the end."""
    for name in sorted(names, key=lambda name: -RUNS.get(name, 0)):
        if name in SCENARIOS:
            yield from seeds(name, 0, RUNS[name])
        elif name in WAYS:
            yield from sweeps(name)
        else:
            yield Piece(name, count=MOST_SEEDS)
