"""The manifest: the one object whose creation commits a span of a partition. A pure format, JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from penstock.errors import PermanentError
from penstock.lake.layout import Chain

FORMAT = 1


@dataclass(frozen=True, slots=True)
class LakeFile:
    path: str
    rows: int
    bytes: int
    source: str
    date: str
    hour: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Says that `[start, end)` of a partition is in these files, each row once, and who wrote them.

    `files` is empty where the span held transaction markers and dead letters only. `writer` is a random id of one
    process. `committed_at` is the writer's clock, for people: nothing is decided by it.
    """

    chain: Chain
    start: int
    end: int
    writer: str
    committed_at: int
    files: tuple[LakeFile, ...]

    @property
    def path(self) -> str:
        return self.chain.manifest_path(self.start)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def encode(self) -> bytes:
        return orjson.dumps(
            {
                "format": FORMAT,
                "topic": self.chain.topic,
                "topic_id": self.chain.topic_id,
                "partition": self.chain.partition,
                "start": self.start,
                "end": self.end,
                "writer": self.writer,
                "committed_at": self.committed_at,
                "files": [asdict(file) for file in self.files],
            },
            option=orjson.OPT_INDENT_2,
        )

    @staticmethod
    def decode(content: bytes, path: str) -> "Manifest":
        """Raises PermanentError where `content`, found at `path`, is no manifest that this version can read."""
        try:
            found: Mapping[str, Any] = orjson.loads(content)
            if found["format"] != FORMAT:
                raise PermanentError(
                    f"the manifest {path} has format {found['format']}, and this version reads format {FORMAT}: "
                    "a newer Penstock wrote it; update this one"
                )
            manifest = Manifest(
                Chain(found["topic"], found["topic_id"], found["partition"]),
                found["start"],
                found["end"],
                found["writer"],
                found["committed_at"],
                tuple(LakeFile(**file) for file in found["files"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(
                f"{path} is not a manifest ({type(error).__name__}: {error}): something else than Penstock wrote it, "
                "or the store damaged it; no offset can be trusted until it is restored"
            ) from error
        if manifest.path != path or manifest.end < manifest.start:
            raise PermanentError(
                f"the manifest {path} says that it is {manifest.chain}, offsets {manifest.start} to {manifest.end}: "
                "it was copied or renamed, and no offset can be trusted until that is undone"
            )
        return manifest
