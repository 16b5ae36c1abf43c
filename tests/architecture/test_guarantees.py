"""Every promise in docs/guarantees.md names tests that exist, and every error that a loop can meet has one."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType

import pytest

from penstock.stream.verdicts import ROWS
from tests.architecture.scripts import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load("reference")


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


def test_every_promise_and_every_error_names_a_test() -> None:
    lines = (ROOT / "docs/guarantees.md").read_text().splitlines()
    rows = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if _is_row(line, after)]
    assert len(rows) > len(ROWS)
    assert [row for row in rows if "tests/" not in row] == []


def _is_row(line: str, after: str) -> bool:
    is_head = after.startswith(("|---", "| ---"))
    return line.startswith("| ") and not line.startswith("| ---") and not is_head


def unproven(rows: Iterable[str], claimed: Collection[str]) -> list[str]:
    """Errors that no test claims, and claims of errors that there are not."""
    known = list(rows)
    return [f"no test claims {name!r}" for name in known if name not in claimed] + [
        f"a test claims {name!r}, which is no row of ROWS" for name in claimed if name not in known
    ]


def test_every_error_has_a_test_and_every_claim_an_error(reference: ModuleType) -> None:
    assert unproven((row.name for row in ROWS), reference.proofs(ROOT / "tests")) == []


def test_an_error_without_a_test_and_a_claim_without_an_error_are_seen(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        '@pytest.mark.verdict("fenced")\n@pytest.mark.parametrize("a", [1])\nasync def test_y() -> None: ...\n'
        'class TestZ:\n    @pytest.mark.verdict("fented")\n    def test_z(self) -> None: ...\n'
    )
    found = reference.proofs(tmp_path)
    assert found["fenced"] == [f"{tmp_path.name}/test_x.py::test_y"]
    assert unproven(["fenced", "fatal"], found) == [
        "no test claims 'fatal'",
        "a test claims 'fented', which is no row of ROWS",
    ]
