"""The import law holds, and a breach of it is seen."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A tree under the project's own import law: empty packages, and the edges it names, each with its client."""
    law = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(law)
    for folder in ("penstock", "services"):
        for package in (ROOT / folder).rglob("__init__.py"):
            (tmp_path / package.parent.relative_to(ROOT)).mkdir(parents=True, exist_ok=True)
            (tmp_path / package.relative_to(ROOT)).touch()
    for contract in tomllib.loads(law)["tool"]["importlinter"]["contracts"]:
        for edge in contract.get("ignore_imports", []):
            module, client = edge.split(" -> ")
            (tmp_path / module.replace(".", "/")).with_suffix(".py").write_text(f"import {client}\n")
    return tmp_path


def test_a_small_house_keeps_the_import_law(small_house: Path) -> None:
    done = lint_imports(small_house)
    assert done.returncode == 0, done.stdout


def test_the_house_keeps_the_import_law() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("services/dedup/table.py", "import services.ingest"),
        ("penstock/clock.py", "import services.dedup"),
        ("services/dedup/table.py", "from confluent_kafka import Message"),
        ("services/gateway/query.py", "import asyncpg"),
        ("services/ingest/accept.py", "from aiohttp import web"),
        ("penstock/stream/pace.py", "import confluent_kafka"),
    ],
)
def test_a_breach_of_the_import_law_is_seen(small_house: Path, file: str, line: str) -> None:
    (small_house / file).write_text(line + "\n")
    done = lint_imports(small_house)
    assert done.returncode == 1, done.stdout
    assert "broken" in done.stdout.lower()
