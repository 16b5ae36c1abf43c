"""The simulation catches the runtime without each of its mechanisms: a checker that never failed proves nothing."""

from collections.abc import Mapping

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.report import Report

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(reports: Mapping[str, Report], name: str) -> None:
    assert reports[name].failures == []
    assert f"{name}: caught by seed " in reports[name].caught
