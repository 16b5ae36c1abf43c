"""Holds ARCHITECTURE.md's map against the tree.

scripts/map.py   says which file has no place in the map and which row names nothing, and then ends with 1
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAP = Path("ARCHITECTURE.md")
NAMELESS = ("__init__.py", "py.typed")
"""Files that say nothing by themselves."""


def without_a_place(text: str, paths: Iterable[str]) -> list[str]:
    """Problems: files that no row of the map names, and rows that name nothing.

    A row names files in backticks: `penstock/clock.py`, `penstock/stream/` (right in it), `deploy/**` (all below),
    `*.md` (at the root).
    """
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    rows = [name for cell in cells for name in re.findall(r"`([^`\s]+)`", cell)]
    known = list(paths)
    lost = [path for path in known if not any(_names(row, path) for row in rows)]
    idle = [row for row in rows if not any(_names(row, path) for path in known)]
    nowhere = [f"{path} has no place in {MAP}" for path in lost]
    return nowhere + [f"{MAP} names {row}, which is not there" for row in idle]


def house() -> list[str]:
    """Every file that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [path for path in listed if not path.endswith(NAMELESS) and (ROOT / path).exists()]


def _names(row: str, path: str) -> bool:
    if row.endswith("/"):
        return path.rpartition("/")[0] + "/" == row
    if "/" not in row:
        return "/" not in path and fnmatchcase(path, row)
    return fnmatchcase(path, row.replace("**", "*"))


def main() -> None:
    found = without_a_place((ROOT / MAP).read_text(), house())
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
