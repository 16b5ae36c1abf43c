"""Counts the rows of the Parquet files that a manifest names; no other file exists for a reader of the lake."""

import asyncio
from collections.abc import Collection, Iterator
from itertools import pairwise

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from penstock.lake.chain import paths_of_manifests
from penstock.lake.chain import read as read_manifest
from penstock.lake.manifest import LakeFile, Manifest
from penstock.lake.store import store_errors
from penstock.ledger.accounts import Problem
from penstock.ledger.identity import Cut
from penstock.ledger.tally import Tallies, Tally, hash_of_uid
from penstock.ledger.topics import Progress

_TOGETHER = 8
_LOOK = "Look at the object store: was something deleted or changed by hand? `events.scored` may still hold the rows"


class ParquetCount:
    """Manifests and the files they name never change: each is read once, later counts read only new ones.

    The cut must be the same every time.
    """

    def __init__(self, store: ObjectStore, topics: Collection[str], cut: Cut) -> None:
        """`topics` are those whose records the files hold."""
        self._store = store
        self._topics = topics
        self._cut = cut
        self._manifests: dict[str, Manifest] = {}
        self._files: dict[str, dict[str, Tally] | None] = {}
        self._damaged: list[Problem] = []

    async def count(self, progress: Progress) -> dict[str, Tally]:
        """Source to tally.

        Raises:
            TransientError: the store is away.
            SystemFaultError: it refuses us.
            PermanentError: a manifest that cannot be read.
        """
        fresh = [
            path
            for topic in self._topics
            async for path in paths_of_manifests(self._store, topic)
            if path not in self._manifests
        ]
        gate = asyncio.Semaphore(_TOGETHER)
        done = 0

        async def take(path: str) -> None:
            nonlocal done
            async with gate:
                manifest = await read_manifest(self._store, path)
                for file in manifest.files:
                    if file.path not in self._files:
                        self._files[file.path] = await self._rows(file, path)
                self._manifests[path] = manifest
            done += 1
            progress("parquet", done, len(fresh))

        await asyncio.gather(*(take(path) for path in fresh))
        total = Tallies()
        for manifest in self._manifests.values():
            for file in manifest.files:
                total.merge(self._files[file.path] or {})
        return total.read()

    def problems(self) -> list[Problem]:
        """What is wrong with the lake itself: files that are gone or changed, manifests that overlap or leave a gap."""
        return self._damaged + list(_breaks(list(self._manifests.values())))

    async def _rows(self, file: LakeFile, manifest: str) -> dict[str, Tally] | None:
        with store_errors(f"reading {file.path}"):
            try:
                answer = await obstore.get_async(self._store, file.path)
                content = await answer.bytes_async()
            except FileNotFoundError:
                self._damage(file, file.rows, f"{manifest} names {file.path}, which is not there")
                return None
        try:
            return await asyncio.to_thread(self._tally, bytes(content), file, manifest)
        except pa.ArrowInvalid as error:
            self._damage(file, file.rows, f"{file.path} is no readable Parquet file: {error}")
            return None

    def _tally(self, content: bytes, file: LakeFile, manifest: str) -> dict[str, Tally]:
        table = pq.read_table(pa.BufferReader(content), columns=["uid", "source", "ingested_at"])
        if table.num_rows != file.rows:
            self._damage(
                file,
                file.rows - table.num_rows,
                f"{manifest} says {file.rows:,} rows, {file.path} has {table.num_rows:,}",
            )
        tallies = Tallies()
        times = table.column("ingested_at").cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_pylist()
        for uid, source, at in zip(
            table.column("uid").to_pylist(), table.column("source").to_pylist(), times, strict=True
        ):
            if uid is None or source is None or at is None:
                self._damage(file, 1, f"{file.path} has a row without uid, source or ingested_at")
            elif at in self._cut:
                tallies.add(source, hash_of_uid(uid))
        return tallies.read()

    def _damage(self, file: LakeFile, difference: int, detail: str) -> None:
        self._damaged.append(Problem(file.source, "manifest = file", difference, detail, _LOOK))


def _breaks(manifests: list[Manifest]) -> Iterator[Problem]:
    manifests.sort(key=lambda manifest: manifest.path)
    for before, after in pairwise(manifests):
        if before.chain == after.chain and before.end != after.start:
            yield Problem(
                "*",
                "end of a manifest = start of the next",
                after.start - before.end,
                f"{before.path} ends at offset {before.end}, {after.path} starts at {after.start}",
                "Look for a sink of another version, or for manifests that were deleted or copied by hand",
            )
