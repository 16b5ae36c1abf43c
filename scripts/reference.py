"""Makes docs/reference.md out of the code and the schemas, and holds ARCHITECTURE.md's map against the tree.

scripts/reference.py           writes docs/reference.md
scripts/reference.py --check   writes nothing; says what is stale or has no place, and then ends with 1
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from penstock.metrics import METRICS
from penstock.schema import files
from penstock.schema.catalogue import load_catalogue
from penstock.settings import Settings, variable
from penstock.stream.verdicts import VERDICTS

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = Path("docs/reference.md")
MAP = Path("ARCHITECTURE.md")
SETTINGS_MODULES = tuple(
    f"services.{service}.settings" for service in ("ingest", "dedup", "enrich", "sentiment", "sink", "gateway")
)
HOUSE = ("penstock", "services", "scripts", "loadtests")
RECORDS = ("event", "enriched_event", "scored_event", "duplicate", "dead_letter", "dlq_action", "cursor")
_HEAD = """# Reference

Made by `scripts/reference.py` out of the code and the schemas; `scripts/check` fails when it is stale.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def row(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([row(head), row("---" for _ in head), *map(row, rows)])


def metrics() -> str:
    rows = ((f"`{one.name}`", one.kind, ", ".join(one.labels), one.help) for one in METRICS)
    return table(("metric", "kind", "labels", "what it says"), rows)


def settings() -> str:
    return "\n\n".join(
        f"### {_title(kind)}\n\n{table(('variable', 'default', 'what it is'), _settings_rows(kind))}"
        for kind in _settings_kinds()
    )


def topics() -> str:
    rows = (
        (f"`{one.name}`", one.key, one.record or "-", one.partitions, one.cleanup, _days(one.retention_ms),
         f"{one.max_message_bytes:,}", one.timestamp_type, ", ".join(one.written_by), ", ".join(one.read_by) or "-")
        for one in load_catalogue().topics
    )  # fmt: skip
    columns = "topic, key, record, partitions, cleanup, kept, batch bytes, timestamp, written by, read by"
    return table(columns.split(", "), rows)


def fields() -> str:
    return "\n\n".join(
        f"### {record}\n\n{table(('field', 'type', 'default', 'what it is'), _field_rows(files.latest(record)))}"
        for record in RECORDS
    )


def errors() -> str:
    rows = ((f"`{KafkaError(code).name()}`", one.category.value, one.consequence) for code, one in VERDICTS.items())
    return table(("code", "category", "consequence"), rows)


def reference() -> str:
    makers = (("Metrics", metrics), ("Settings", settings), ("Topics", topics), ("Fields", fields), ("Errors", errors))
    parts = ((title, make()) for title, make in makers)
    return "\n".join([_HEAD, *(f"## {title}\n\n{body}\n" for title, body in parts)])


def without_a_place(text: str, paths: Iterable[str]) -> list[str]:
    """Problems: files of the house that no row of the map names, and rows that name nothing.

    A row names files in backticks: `penstock/clock.py`, `penstock/stream/` (right in it), `deploy/**` (all below).
    """
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    rows = [name for cell in cells for name in re.findall(r"`([^`\s]+/[^`\s]*)`", cell)]
    known = list(paths)
    lost = [path for path in known if not any(_names(row, path) for row in rows)]
    idle = [row for row in rows if not any(_names(row, path) for path in known)]
    nowhere = [f"{path} has no place in {MAP}" for path in lost]
    return nowhere + [f"{MAP} names {row}, which is not there" for row in idle]


def problems() -> list[str]:
    found = []
    if not (ROOT / REFERENCE).exists() or (ROOT / REFERENCE).read_text() != reference():
        found.append(f"{REFERENCE} is stale: run scripts/reference.py")
    return found + without_a_place((ROOT / MAP).read_text(), house())


def house() -> list[str]:
    """The files of the product, tests left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *HOUSE],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    nameless = ("__init__.py", "py.typed")
    return [path for path in listed if not path.endswith(nameless) and (ROOT / path).exists()]


def _names(row: str, path: str) -> bool:
    if row.endswith("/"):
        return path.rpartition("/")[0] + "/" == row
    return fnmatchcase(path, row.replace("**", "*"))


def _settings_kinds() -> Iterator[type[Settings]]:
    yield Settings
    for name in SETTINGS_MODULES:
        module = importlib.import_module(name)
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Settings) and kind.__module__ == name:
                yield kind


def _title(kind: type[Settings]) -> str:
    return "every service" if kind is Settings else f"`{kind.__name__}`"


def _settings_rows(kind: type[Settings]) -> Iterator[Sequence[object]]:
    shared = set(Settings.model_fields) if kind is not Settings else set()
    own = [name for name in kind.model_fields if name not in shared]
    for name in own:
        field = kind.model_fields[name]
        default = "required" if field.is_required() else "-" if field.default is None else _default(field.default)
        yield f"`{variable(kind, name)}`", default, field.description or ""
    if not own:
        yield "-", "-", "none of its own"


def _default(value: object) -> str:
    if isinstance(value, frozenset | set | tuple | list):
        return ",".join(sorted(map(str, value))) or "-"
    return f"`{value}`"


def _field_rows(schema: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    for one in schema["fields"]:
        default = one.get("default", "required")
        yield f"`{one['name']}`", _type(one["type"]), "null" if default is None else default, one.get("doc", "")


def _type(kind: object) -> str:
    match kind:
        case str():
            return kind
        case list():
            return " or ".join(map(_type, kind))
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "map", "values": values}:
            return f"map to {_type(values)}"
        case {"type": "record", "name": name, "fields": inner}:
            return f"{name} {{{', '.join(one['name'] for one in inner)}}}"
        case {"type": "enum", "symbols": symbols}:
            return f"one of {', '.join(symbols)}"
        case {"type": base, "logicalType": logical}:
            return f"{base} ({logical})"
    return str(kind)


def _days(retention_ms: int) -> str:
    return "until deleted" if retention_ms < 0 else f"{retention_ms / 86_400_000:g} d"


def main(arguments: Sequence[str]) -> int:
    if "--check" not in arguments:
        (ROOT / REFERENCE).write_text(reference())
        return 0
    found = problems()
    for problem in found:
        sys.stderr.write(problem + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
