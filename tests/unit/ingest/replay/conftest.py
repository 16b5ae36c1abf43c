"""The recorded lines that the repository brings with it."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from services.ingest.replay.files import PARSERS, Lines, find_files
from services.ingest.replay.parser import Fields, Parser, Skipped

SAMPLES = Path(__file__).resolve().parents[4] / "samples"

Recorded = list[tuple[bytes, list[Fields] | Skipped]]


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Recorded]:
    """From a source to its sample lines, each with what its parser made of it; empty lines are left out."""

    @cache
    def read(source: str) -> Recorded:
        return list(parsed(source))

    def parsed(source: str) -> Iterator[tuple[bytes, list[Fields] | Skipped]]:
        for path in find_files([str(SAMPLES / source)]):
            parser: Parser = PARSERS[source](path)
            for line in Lines(path):
                if line:
                    yield line, parser.parse(line)

    return read
