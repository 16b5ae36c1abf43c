"""Makes docs/reference.md out of code and schemas, and the tables in docs/guarantees.md and services/*/README.md.

scripts/reference.py           writes them
scripts/reference.py --check   writes nothing; says what is stale or not told anywhere, and then ends with 1
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError
from pydantic.fields import FieldInfo

from penstock.metrics import METRICS
from penstock.schema import files
from penstock.schema.catalogue import load_catalogue
from penstock.settings import Settings, StageSettings, variable
from penstock.stream.verdicts import ROWS, VERDICTS, Verdict

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = Path("docs/reference.md")
GUARANTEES = Path("docs/guarantees.md")
PAGES = "services/*/README.md"
"""They hold tables between markers."""
SETTINGS_MODULES = tuple(
    f"services.{service}.settings" for service in ("ingest", "dedup", "enrich", "sentiment", "sink", "gateway")
)
READERS = ("penstock", "services", "scripts", ".ci")
"""Where variables of the environment are read."""
RECORDS = ("event", "enriched_event", "scored_event", "duplicate", "dead_letter", "dlq_action", "cursor")
_BEGIN, _END = "<!-- made by scripts/reference.py -->", "<!-- end -->"
_FILLED = re.compile(r"(<!-- (settings|metrics) (\S+), made by scripts/reference.py -->\n).*?(<!-- end -->)", re.DOTALL)
_AROUND = (
    ("PENSTOCK_CACHE", "the user's cache folder", "where the embedded stack keeps what it downloads"),
    ("PENSTOCK_MAVEN_MIRROR", "-", "where it downloads jars from instead"),
    ("PENSTOCK_PARTITIONS", "by topic", "how many partitions `penstock up` and `topics apply` give new keyed topics"),
    ("PENSTOCK_DLQ_MAX_ATTEMPTS", "5", "attempts after which `penstock dlq retry` leaves a dead letter where it is"),
    ("PENSTOCK_PYTHON", "`python3`", "the interpreter that the scripts make .venv with"),
    ("PENSTOCK_LOCK", "`dev`, in scripts/demo `run`", "which lock they install"),
    ("PENSTOCK_REQUIRE_BROWSER", "-", "set: the dashboard's tests fail without a Chromium, as in .ci/run"),
    ("PENSTOCK_TEST_STACK", "-", "data folder of a stack that the tests use instead of one of their own"),
    ("PENSTOCK_TEST_STACK_OF_THREE", "-", "likewise, of one with three brokers"),
    ("PENSTOCK_FAILPOINT", "-", "for tests: where in its work a service dies"),
)
"""Variables that are no service's: name, default, what it is."""
_SETTINGS_HEAD = ("variable", "default", "what it is")
_HEAD = """# Reference

Made by `scripts/reference.py` out of the code and the schemas; `scripts/check` fails when it is stale.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def row(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([row(head), row("---" for _ in head), *map(row, rows)])


def metrics() -> str:
    rows = (
        (f"`{one.exported}`", one.kind, ", ".join(one.labels), one.of or "every stage", one.help) for one in METRICS
    )
    return table(("metric", "kind", "labels", "of", "what it says"), rows)


def metrics_of(service: str) -> str:
    rows = ((f"`{one.exported}`", ", ".join(one.labels), one.help) for one in METRICS if one.of == service)
    return table(("metric", "labels", "what it says"), rows)


def settings() -> str:
    around = table(_SETTINGS_HEAD, ((f"`{name}`", default, meaning) for name, default, meaning in _AROUND))
    parts = [(_title(kind), settings_of(kind)) for kind in _settings_kinds()]
    return "\n\n".join(f"### {title}\n\n{body}" for title, body in [*parts, ("around the services", around)])


def settings_of(kind: type[Settings]) -> str:
    return table(_SETTINGS_HEAD, _settings_rows(kind))


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
    named = sorted(((KafkaError(code).name(), one) for code, one in VERDICTS.items()), key=itemgetter(0))
    rows = ((f"`{code}`", one.name, one.category.value, one.consequence) for code, one in named)
    return table(("code", "error", "category", "consequence"), rows)


def verdicts(proofs: Mapping[str, Sequence[str]]) -> str:
    """The rows of penstock/stream/verdicts.py, each with the tests that claim it."""
    rows = ((one.name, _told_by(one), one.category.value, one.consequence,
             " ".join(f"`{test}`" for test in proofs.get(one.name, ())) or "none") for one in ROWS)  # fmt: skip
    return table(("error", "told by", "category", "consequence", "fails without it"), rows)


def _told_by(one: Verdict) -> str:
    codes = ", ".join(f"`{KafkaError(code).name()}`" for code in one.codes)
    return "; ".join(filter(None, (codes, one.told_by)))


def proofs(tests: Path) -> dict[str, list[str]]:
    """Verdict to the tests marked with it, as `tests/unit/stream/test_x.py::test_y`."""
    found: dict[str, list[str]] = {}
    for file in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for name in filter(None, map(_claimed, node.decorator_list)):
                    found.setdefault(name, []).append(f"{file.relative_to(tests.parent)}::{node.name}")
    return found


def _claimed(decorator: ast.expr) -> str | None:
    match decorator:
        case ast.Call(func=ast.Attribute(attr="verdict"), args=[ast.Constant(value=str(name))]):
            return name
    return None


def guarantees(text: str) -> str:
    """docs/guarantees.md with its table of errors made anew."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{GUARANTEES} has lost the lines {_BEGIN} and {_END}")
    return f"{before}{begin}\n{verdicts(proofs(ROOT / 'tests'))}\n{end}{after}"


def reference() -> str:
    makers = (("Metrics", metrics), ("Settings", settings), ("Topics", topics), ("Fields", fields), ("Errors", errors))
    parts = ((title, make()) for title, make in makers)
    return "\n".join([_HEAD, *(f"## {title}\n\n{body}\n" for title, body in parts)])


def filled(page: str) -> str:
    """A page with what lies between its markers made anew."""
    kinds = {kind.__name__: kind for kind in _settings_kinds()}

    def made(found: re.Match[str]) -> str:
        begin, what, name, end = found.groups()
        return f"{begin}{settings_of(kinds[name]) if what == 'settings' else metrics_of(name)}\n{end}"

    return _FILLED.sub(made, page)


def not_told(reference: str, texts: Mapping[str, str]) -> list[str]:
    """Problems: variables that a program reads, and whatever a page names, of which the reference knows nothing.

    Args:
        texts: path to content, of programs and of pages.
    """
    found = []
    for path, text in texts.items():
        names = re.findall(r"\b(PENSTOCK_[A-Z0-9_]*[A-Z0-9])\b", text)
        if path.endswith(".md"):
            names += re.findall(r"`(penstock_[a-z_]+[a-z])", text)
        unknown = sorted({name for name in names if f"`{name}`" not in reference})
        found += [f"{path} names {name}, which {REFERENCE} does not have" for name in unknown]
    return found


def _texts() -> dict[str, str]:
    programs = [path for reader in READERS for path in sorted((ROOT / reader).rglob("*")) if _is_program(path)]
    pages = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob(PAGES))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in [*programs, *pages]}


def _is_program(path: Path) -> bool:
    return path.is_file() and path.suffix in {".py", ""} and "__pycache__" not in path.parts


def problems() -> list[str]:
    found = []
    if not (ROOT / REFERENCE).exists() or (ROOT / REFERENCE).read_text() != reference():
        found.append(f"{REFERENCE} is stale: run scripts/reference.py")
    if (ROOT / GUARANTEES).exists() and (text := (ROOT / GUARANTEES).read_text()) != guarantees(text):
        found.append(f"{GUARANTEES} is stale: run scripts/reference.py")
    stale = [page for page in sorted(ROOT.glob(PAGES)) if (text := page.read_text()) != filled(text)]
    found += [f"{page.relative_to(ROOT)} is stale: run scripts/reference.py" for page in stale]
    return found + not_told(reference(), _texts())


def _settings_kinds() -> Iterator[type[Settings]]:
    yield Settings
    yield StageSettings
    for name in SETTINGS_MODULES:
        module = importlib.import_module(name)
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Settings) and kind.__module__ == name:
                yield kind


def _title(kind: type[Settings]) -> str:
    return {Settings: "every service", StageSettings: "every stage"}.get(kind, f"`{kind.__name__}`")


def _settings_rows(kind: type[Settings]) -> Iterator[Sequence[object]]:
    (base,) = kind.__bases__
    above = base.model_fields if issubclass(base, Settings) else {}
    own = [name for name, field in kind.model_fields.items() if name not in above or _changed(field, above[name])]
    for name in own:
        field = kind.model_fields[name]
        default = "required" if field.is_required() else "-" if field.default is None else _default(field.default)
        yield f"`{variable(kind, name)}`", default, field.description or ""
    if not own:
        yield "-", "-", "none of its own"


def _changed(field: FieldInfo, inherited: FieldInfo) -> bool:
    return (field.default, field.description) != (inherited.default, inherited.description)


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
        (ROOT / GUARANTEES).write_text(guarantees((ROOT / GUARANTEES).read_text()))
        for page in ROOT.glob(PAGES):
            page.write_text(filled(page.read_text()))
        return 0
    found = problems()
    for problem in found:
        sys.stderr.write(problem + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
