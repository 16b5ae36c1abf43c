"""The simulation catches the runtime without each of its mechanisms: a checker that never failed proves nothing."""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.test_simulation import simulation


@pytest.fixture(scope="module")
def caught() -> dict[str, str]:
    """What became of each mutant, in one line each."""
    lines = simulation("--mutant", "all", "--runs", "3000").stdout.splitlines()
    return {line.split(":", 1)[0]: line for line in lines}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_is_caught(caught: dict[str, str], name: str) -> None:
    assert " caught by seed " in caught[name], caught[name]
