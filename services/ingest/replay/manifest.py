"""What a replay sent, written down for `penstock ledger --expect`.

`unique` comes from the oracle and `duplicates` is the rest of `sent`; `planted` says how many of those were put in on
purpose. A replay that was killed leaves `complete` false behind; the next one with the same file then says `repeated`,
since some of its events are in events.raw already, as duplicates of their own.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

VERSION = 1


@dataclass(slots=True)
class Tally:
    """Counts of a replay that goes on."""

    source: str
    lines: int = 0
    """Read from the files, those that were skipped included."""
    skipped: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    """Acknowledged by the broker, planted duplicates included."""
    planted: int = 0
    unique: int = 0

    def manifest(self, files: Sequence[Path], *, complete: bool, repeated: bool) -> dict[str, Any]:
        return {
            "manifest": VERSION,
            "source": self.source,
            "files": [str(file) for file in files],
            "lines": self.lines,
            "skipped": dict(sorted(self.skipped.items())),
            "sent": self.sent,
            "planted": self.planted,
            "unique": self.unique,
            "duplicates": self.sent - self.unique,
            "complete": complete,
            "repeated": repeated,
        }


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all: a reader never sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    beside.replace(path)


def was_cut_short(path: Path, source: str) -> bool:
    """Whether an earlier replay of this source began with this manifest and never came to its end."""
    try:
        earlier = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return False
    if not isinstance(earlier, dict) or earlier.get("source") != source:
        return False
    return not earlier.get("complete") or bool(earlier.get("repeated"))
