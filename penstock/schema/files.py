"""The files under schemas/: where they are, and which versions of a record there are.

In a checkout they are the folder `schemas/`; in an installed wheel they travel as package data.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from penstock.errors import PermanentError

_FILE = re.compile(r"(?P<record>[a-z][a-z0-9_]*)\.v(?P<version>[1-9][0-9]*)\.avsc")

AvroSchema = dict[str, Any]
"""An Avro schema as parsed JSON; the top level of all of ours is a record."""


@cache
def schemas_folder() -> Path:
    packaged = Path(__file__).parent / "data"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "schemas"


def versions(record: str, folder: Path | None = None) -> list[AvroSchema]:
    """Every version of a record's schema, oldest first: `avro/<record>.v1.avsc`, `.v2.avsc`, ...

    Raises:
        PermanentError: there is none, a version is left out, or a file is not JSON.
    """
    found = {}
    for path in sorted(((folder or schemas_folder()) / "avro").glob(f"{record}.v*.avsc")):
        match = _FILE.fullmatch(path.name)
        if match and match["record"] == record:
            found[int(match["version"])] = path
    if not found:
        raise PermanentError(f"there is no schema file avro/{record}.v1.avsc in {folder or schemas_folder()}")
    missing = set(range(1, max(found) + 1)) - set(found)
    if missing:
        raise PermanentError(f"versions of {record} are numbered without gaps, but v{min(missing)} is missing")
    return [_load(found[number]) for number in sorted(found)]


def latest(record: str, folder: Path | None = None) -> AvroSchema:
    """The newest version of a record's schema: what Penstock itself writes and reads."""
    return versions(record, folder)[-1]


def records(folder: Path | None = None) -> list[str]:
    """The names of all records that have a schema file, sorted."""
    names = {match["record"] for path in ((folder or schemas_folder()) / "avro").iterdir()
             if (match := _FILE.fullmatch(path.name))}  # fmt: skip
    return sorted(names)


def _load(path: Path) -> AvroSchema:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PermanentError(f"{path} is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise PermanentError(f"{path} must hold one record schema, a JSON object")
    return schema
