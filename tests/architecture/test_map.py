"""Every file has its place in ARCHITECTURE.md's map, and a breach is seen, by `scripts/check` too."""

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.scripts import load

ROOT = Path(__file__).resolve().parents[2]
MAP = """
| place | what |
|---|---|
| `penstock/clock.py` `penstock/stream/` | time; the runtime |
| `services/sink/postgres/**` | rows |
| `*.md` `LICENSE` | to begin with |
"""
KNOWN = ["penstock/clock.py", "penstock/stream/loop.py", "services/sink/postgres/migrations/env.py", "LICENSE", "A.md"]


@pytest.fixture(scope="module")
def tree() -> ModuleType:
    return load("map")


def test_every_file_has_its_place(tree: ModuleType) -> None:
    assert tree.without_a_place((ROOT / tree.MAP).read_text(), tree.house()) == []


def test_every_corner_of_the_house_is_looked_at(tree: ModuleType) -> None:
    corners = {path.split("/")[0] for path in tree.house()}
    assert corners >= {"penstock", "services", "tests", "schemas", "samples", "requirements", "docs", ".ci", "LICENSES"}
    assert corners >= {"README.md", "LICENSE", ".gitignore"}


@pytest.mark.parametrize(
    "path", ["penstock/utils.py", "penstock/stream/deep/loop.py", "services/sink/rows.py", "docs/A.md", "setup.py"]
)
def test_a_file_without_a_place_is_seen(tree: ModuleType, path: str) -> None:
    assert tree.without_a_place(MAP, KNOWN) == []
    assert tree.without_a_place(MAP, [*KNOWN, path]) == [f"{path} has no place in ARCHITECTURE.md"]


def test_a_row_that_names_nothing_is_seen(tree: ModuleType) -> None:
    found = tree.without_a_place(MAP, [path for path in KNOWN if "sink" not in path])
    assert found == ["ARCHITECTURE.md names services/sink/postgres/**, which is not there"]


@pytest.fixture(scope="module")
def copy(tree: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own that `scripts/check` can be run in."""
    folder = tmp_path_factory.mktemp("house")
    for path in tree.house():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".git" / "info" / "exclude").write_text(".venv\n")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "scripts" / "venv").write_text("# It is there, and is not to be installed anew from here.\n")
    return folder


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("docs/reference.md", "docs/reference.md is stale: run scripts/reference.py"),
        ("penstock/found.txt", "penstock/found.txt has no place in ARCHITECTURE.md"),
    ],
)
def test_the_check_fails_and_says_why(copy: Path, path: str, told: str) -> None:
    assert pages(copy) == (0, "")
    before = (copy / path).read_bytes() if (copy / path).exists() else None
    (copy / path).write_bytes((before or b"") + b"more\n")
    code, said = pages(copy)
    if before is None:
        (copy / path).unlink()
    else:
        (copy / path).write_bytes(before)
    assert (code, said) == (1, f"{told}\n")


def pages(house: Path) -> tuple[int, str]:
    done = subprocess.run(["scripts/check", "pages"], cwd=house, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr
