"""What the tests of the stack itself share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stack_command import penstock


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose stack is gone at the end, whatever happened."""
    folder = tmp_path / "data"
    try:
        yield folder
    finally:
        penstock(folder, "down", "--volumes")
