"""Recorded data: the samples that come with the repository, and the larger set that may lie beside it."""

import gzip
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
SHARED = ROOT.parent / "shared" / "data" / "streams"


def lines_of(path: Path) -> list[bytes]:
    """With their line ends."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines(keepends=True)
