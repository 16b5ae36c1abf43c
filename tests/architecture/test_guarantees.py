"""Every promise in docs/guarantees.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def missing(text: str, root: Path) -> list[str]:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named
    return [f"{file}::{test}" for file, test in named if not _defines(root / file, test)]


def _defines(file: Path, test: str) -> bool:
    return file.exists() and re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE) is not None


def test_every_test_that_is_named_exists() -> None:
    assert missing((ROOT / "docs/guarantees.md").read_text(), ROOT) == []


def test_a_test_that_does_not_exist_is_seen() -> None:
    text = "`tests/architecture/test_guarantees.py::test_never_written` `tests/gone.py::test_x`"
    assert len(missing(text, ROOT)) == 2


def test_every_promise_names_a_test() -> None:
    rows = [line for line in (ROOT / "docs/guarantees.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert rows
    assert [row for row in rows if "tests/" not in row] == []
