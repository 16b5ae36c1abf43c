"""Which files a replay reads, and their lines."""

import glob
import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from penstock.errors import DataError, PermanentError
from services.ingest.replay.exchange import ExchangeParser
from services.ingest.replay.github import GithubParser
from services.ingest.replay.parser import Parser
from services.ingest.replay.weather import WeatherParser, read_airports
from services.ingest.replay.wikipedia import WikipediaParser

AIRPORTS = "airports.csv"
NOT_DATA = frozenset({AIRPORTS, "README.md", "LICENSE"})
"""Left out of a folder that is replayed; airports.csv is read beside weather.csv."""
MAX_LINE_BYTES = 16 << 20

PARSERS: dict[str, Callable[[Path], Parser]] = {
    "github": lambda _: GithubParser(),
    "wikipedia": lambda _: WikipediaParser(),
    "exchange": lambda _: ExchangeParser(),
    "weather": lambda path: WeatherParser(_airports_beside(path)),
}
"""From a source's name to what makes a parser for one of its files."""


def find_files(patterns: Sequence[str]) -> list[Path]:
    """The files that names, folders and globs stand for, each once, in the order of `patterns`, then by name.

    Raises:
        PermanentError: one of them stands for no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if _is_data(file)]
        elif path.is_file():
            files = [path]
        else:
            names = sorted(glob.glob(pattern))  # noqa: PTH207  Path.glob takes no absolute pattern
            files = [file for name in names if _is_data(file := Path(name))]
        if not files:
            raise PermanentError(f"{pattern}: no such file, or a folder without one")
        found.update(dict.fromkeys(files))
    return list(found)


class Lines:
    """The lines of one file, plain or .gz, without their ends; knows how far it is.

    Iterating raises PermanentError, with the file and the line, where the file cannot be read or unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self.read_bytes = 0
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as raw:
                unpacked = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if self.path.suffix == ".gz" else raw
                while line := unpacked.readline(MAX_LINE_BYTES + 1):
                    self.number += 1
                    if len(line) > MAX_LINE_BYTES:
                        raise PermanentError(f"{self.where}: a line of more than {MAX_LINE_BYTES:,} bytes")
                    self.read_bytes = raw.tell()
                    yield line.rstrip(b"\r\n")
            self.read_bytes = self.size_bytes
        except (OSError, EOFError) as error:
            raise PermanentError(f"{self.where}: cannot be read on from here: {error}") from error

    @property
    def where(self) -> str:
        """File and line, as errors name them."""
        return f"{self.path}:{self.number}"

    def bad(self, source: str, error: DataError) -> PermanentError:
        return PermanentError(f"{self.where}: this is no recording of {source}: {error.detail}")


def _is_data(path: Path) -> bool:
    return path.is_file() and path.name not in NOT_DATA and not path.name.startswith(".")


def _airports_beside(path: Path) -> dict[str, dict[str, str]]:
    beside = path.with_name(AIRPORTS)
    if not beside.is_file():
        return {}
    with beside.open(encoding="utf-8", newline="") as lines:
        return read_airports(lines)
