"""Where everything lies in the lake: names in, names out.

    events/source=<s>/date=<YYYY-MM-DD>/hour=<HH>/<partition>-<start>-<end>-<topic id>-<writer>.parquet
    manifests/<topic>/<topic id>/<partition>/<start, 20 digits>.json

Date and hour are those of ingest time, in UTC. The folders are Hive's, so that DuckDB, Spark and pyarrow prune by them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

FILES = "events/"
MANIFESTS = "manifests/"
_LONGEST_NAME_BYTES = 200
"""Of a source in a path: file systems take 255 bytes per name, `source=` included."""

_FILE = re.compile(
    r"events/source=(?P<source>[^/]+)/date=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/"
    r"(?P<partition>\d+)-(?P<start>\d+)-(?P<end>\d+)-(?P<topic_id>[A-Za-z0-9_-]+)-(?P<writer>[0-9a-f]+)\.parquet"
)
_MANIFEST = re.compile(
    r"manifests/(?P<topic>[^/]+)/(?P<topic_id>[^/]+)/(?P<partition>\d+)/(?P<start>\d{20})\.json",
)


class Folder(NamedTuple):
    """The folder of a file: what all its rows have in common."""

    source: str
    date: str
    """YYYY-MM-DD, UTC."""
    hour: int

    @property
    def path(self) -> str:
        return f"{FILES}source={source_name(self.source)}/date={self.date}/hour={self.hour:02d}/"


@dataclass(frozen=True, slots=True)
class Chain:
    """One partition of one topic in its present life. Its manifests form a chain: each starts where one ends."""

    topic: str
    topic_id: str
    partition: int

    @property
    def prefix(self) -> str:
        return f"{MANIFESTS}{self.topic}/{self.topic_id}/{self.partition}/"

    def manifest_path(self, start: int) -> str:
        """Names sort as their offsets do: Kafka's offsets have at most 19 digits."""
        return f"{self.prefix}{start:020d}.json"

    def file_path(self, folder: Folder, start: int, end: int, writer: str) -> str:
        return f"{folder.path}{self.partition}-{start}-{end}-{self.topic_id}-{writer}.parquet"

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] (topic id {self.topic_id})"


def folder_of(source: str, ingested_at_ms: int) -> Folder:
    """Raises OverflowError or ValueError for a time outside the years 1 to 9999."""
    when = datetime.fromtimestamp(ingested_at_ms // 1000, UTC)
    return Folder(source, when.date().isoformat(), when.hour)


def source_name(source: str) -> str:
    """A source as part of a path: percent-encoded, and cut with a digest where it would be too long for a name."""
    name = quote(source, safe="")
    if len(name) <= _LONGEST_NAME_BYTES:
        return name
    digest = blake2b(source.encode(), digest_size=16).hexdigest()
    return f"{name[:100].rpartition('%')[0] or name[:100]}~{digest}"


def is_file(path: str) -> bool:
    """True for a name that a writer of ours gives to a Parquet file."""
    return _FILE.fullmatch(path) is not None


def place_of_manifest(path: str) -> tuple[Chain, int] | None:
    """The chain and start offset that a manifest's name states; None for a name that is not a manifest's."""
    found = _MANIFEST.fullmatch(path)
    if found is None:
        return None
    return Chain(found["topic"], found["topic_id"], int(found["partition"])), int(found["start"])
