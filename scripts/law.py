"""Holds the tree against those rules of the house that no linter knows.

scripts/law.py   says what is broken and where, and then ends with 1

- Kafka's Consumer and Producer are touched in penstock/stream and the ledger's reader alone (loadtests measure them).
- No tracked text names a package registry's host or a folder of somebody's machine; locks hold no address at all.
- A `__main__.py` has at most 20 lines, and no module is called utils, common or helpers.
- What silences a linter or the type checker names the code that it silences.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ("samples/", "schemas/examples/", "services/gateway/page/vendor/")
"""Other people's words: what they name is theirs."""

_CLIENTS = re.compile(r".*(Consumer|Producer)$")
_CLIENTS_AT_HOME = ("penstock/stream/", "penstock/ledger/kafka_reader.py")
_MAIN_LINES = 20
_NAMELESS = {"util", "utils", "common", "helper", "helpers", "misc"}
_HOSTS = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|repo1?\.maven\.(apache\.)?org|registry\.npmjs\.org|crates\.io"
    r"|proxy\.golang\.org|deb\.debian\.org)\b"
)
_MACHINE = re.compile(r"(?<![\w.}*])/(work|root|home/\w+|Users/\w+)/")
_SILENCE = re.compile(
    r"#\s*(ruff\s*:\s*noqa|flake8\s*:\s*noqa|noqa|type\s*:\s*ignore)(?P<code>\s*:\s*[A-Z]+\d+|\[[a-z])?"
)
_SILENT_FILE = re.compile(r"#\s*mypy\s*:\s*(ignore[-_]errors|disable)")


def broken(path: str, text: str) -> Iterator[str]:
    """What is wrong with one tracked file, as `path:line: what, and what to do`."""
    yield from _named(path)
    if not path.startswith(RECORDED):
        yield from _placed(path, text)
    if PurePosixPath(path).suffix == ".py":
        yield from _silenced(path, text)
        yield from _clients(path, text)


def _named(path: str) -> Iterator[str]:
    for part in PurePosixPath(path).parts:
        if part.partition(".")[0].strip("_") in _NAMELESS:
            yield f"{path}: `{part}` says nothing about what is in it; name it for what it holds"


def _placed(path: str, text: str) -> Iterator[str]:
    is_lock = path.startswith("requirements/") or path.endswith(".lock")
    for number, line in enumerate(text.splitlines(), 1):
        if found := _HOSTS.search(line):
            yield f"{path}:{number}: names the registry {found[0]}; that is for the machine to say"
        elif found := _MACHINE.search(line):
            yield f"{path}:{number}: names {found[0]}, a folder of one machine"
        elif is_lock and ("://" in line or re.match(r"\s*(-i|-f|--(extra-)?index-url|--find-links)\b", line)):
            yield f"{path}:{number}: a lock holds no address: {line.strip()}"
    lines = text.count("\n")
    if PurePosixPath(path).name == "__main__.py" and lines > _MAIN_LINES and not path.startswith("tests/"):
        yield f"{path}: {lines} lines, {_MAIN_LINES} at most; a program's start only hands on"


def _silenced(path: str, text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        for found in _SILENCE.finditer(token.string):
            if not found["code"]:
                yield f"{path}:{token.start[0]}: `{found[0].strip()}` silences everything; name the code"
        if _SILENT_FILE.search(token.string):
            yield f"{path}:{token.start[0]}: silences the type checker for a whole file; name line and code"


def _clients(path: str, text: str) -> Iterator[str]:
    if not path.startswith(("penstock/", "services/")) or path.startswith(_CLIENTS_AT_HOME):
        return
    for node in ast.walk(ast.parse(text)):
        for line, name in _taken_from_kafka(node):
            if _CLIENTS.match(name) or name == "confluent_kafka":
                yield f"{path}:{line}: takes {name}; only {' and '.join(_CLIENTS_AT_HOME)} do, others use the port"


def _taken_from_kafka(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Names taken out of confluent_kafka, and the package itself, through which any could be taken."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "confluent_kafka":
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "confluent_kafka")


def tracked() -> Iterator[tuple[str, str]]:
    """Every text file that git knows or would add, with its content."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for path in filter(None, listed):
        if (ROOT / path).is_file():
            content = (ROOT / path).read_bytes()
            if b"\0" not in content[:8192]:
                yield path, content.decode(errors="replace")


def main() -> None:
    found = [problem for path, text in tracked() for problem in broken(path, text)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
