"""Removing what no reader can reach: files that no manifest names.

They come from a writer that died between its files and its manifest, or that lost a race. A file may be named as long
as its writer may still commit it, and no writer commits a file older than an hour (`COMMITTABLE_S`): what is older
than a day and has no manifest never gets one. The margin covers clocks that disagree by hours.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import obstore
from obstore.store import ObjectStore

from penstock.lake.chain import PAGE, manifests
from penstock.lake.layout import FILES, is_file
from penstock.lake.store import store_errors

COMMITTABLE_S = 3600.0
"""The oldest file that a writer may still name in a manifest, in seconds."""
ORPHAN_AGE_S = 86_400.0
"""The youngest file that vacuum takes away."""
_DELETE_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class Orphan:
    path: str
    bytes: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in the lake. `strangers` are names under events/ that no writer of ours gives; they are left alone."""

    orphans: tuple[Orphan, ...]
    named_files: int
    young_files: int
    strangers: tuple[str, ...]

    @property
    def orphan_bytes(self) -> int:
        return sum(orphan.bytes for orphan in self.orphans)


async def survey(store: ObjectStore, now_ms: int) -> Survey:
    """Looks only. Files are listed before manifests: one that is committed meanwhile must not look like an orphan."""
    old: dict[str, Orphan] = {}
    strangers: list[str] = []
    young = 0
    async for file in _files(store):
        if not is_file(file.path):
            strangers.append(file.path)
        elif now_ms / 1000 - file.written_at.timestamp() > ORPHAN_AGE_S:
            old[file.path] = file
        else:
            young += 1
    named = 0
    async for manifest in manifests(store):
        named += len(manifest.files)
        for entry in manifest.files:
            old.pop(entry.path, None)
    orphans = tuple(sorted(old.values(), key=lambda orphan: orphan.path))
    return Survey(orphans, named, young, tuple(sorted(strangers)))


async def remove(store: ObjectStore, orphans: Sequence[Orphan]) -> None:
    """Deletes them; one that is gone already is fine."""
    paths = [orphan.path for orphan in orphans]
    for first in range(0, len(paths), _DELETE_TOGETHER):
        batch = paths[first : first + _DELETE_TOGETHER]
        with store_errors("deleting files that no manifest names"):
            try:
                await obstore.delete_async(store, batch)
            except FileNotFoundError:
                for path in batch:
                    with suppress(FileNotFoundError):
                        await obstore.delete_async(store, path)


async def _files(store: ObjectStore) -> AsyncIterator[Orphan]:
    with store_errors(f"listing {FILES}"):
        async for page in obstore.list(store, FILES, chunk_size=PAGE):
            for entry in page:
                yield Orphan(entry["path"], entry["size"], entry["last_modified"])
