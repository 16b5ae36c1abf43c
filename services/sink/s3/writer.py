"""Commits a span of a partition to the lake: files first, then the manifest that makes them count."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import obstore
from obstore.store import ObjectStore

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import PenstockError, TransientError
from penstock.lake import chain as chains
from penstock.lake.layout import Chain
from penstock.lake.manifest import LakeFile, Manifest
from penstock.lake.store import store_errors
from penstock.lake.vacuum import COMMITTABLE_S
from services.sink.s3.buffer import Group
from services.sink.s3.parquet import to_parquet


class Writer:
    """
    Args:
        name: a random id, of this process alone, hexadecimal.
        uploads: how many files are on their way at once.
    """

    def __init__(self, store: ObjectStore, name: str, clock: Clock, *, uploads: int) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._slots = asyncio.Semaphore(uploads)

    async def commit(self, chain: Chain, start: int, end: int, groups: Sequence[Group]) -> int:
        """
        1. Write the files of [start, end) under names that no other writer and no other span gives.
        2. Create the manifest of `start`, unless there is one.
        3. Return the end of the one there is: `end` where ours was created, now or by an attempt before whose answer
           was lost. Else somebody else committed this span, or we did with another end: our files are dropped.

        Raises:
            TransientError: how it ended is unknown, or the files have become too old; commit again.
        """
        began_s, began_ms = self._clock.monotonic_s(), self._clock.now_ms()
        files = await asyncio.gather(*(self._write(chain, start, end, group) for group in groups))  # 1.
        failpoints.hit("sink-s3.before-manifest")
        # A machine that slept need not have advanced its monotonic clock, and vacuum goes by the time of day.
        age_s = max(self._clock.monotonic_s() - began_s, (self._clock.now_ms() - began_ms) / 1000)
        if age_s > COMMITTABLE_S:
            raise TransientError(
                f"the files of {chain}, offsets {start} to {end}, are {age_s:.0f} s old and may be vacuumed; "
                "they are written again"
            )
        ours = Manifest(chain, start, end, self._name, self._clock.now_ms(), tuple(files))
        stands = await chains.commit(self._store, ours)  # 2.
        failpoints.hit("sink-s3.after-manifest")
        if stands.writer == self._name and stands.end == end:
            return end
        await self._drop(files)
        return stands.end  # 3.

    async def _write(self, chain: Chain, start: int, end: int, group: Group) -> LakeFile:
        folder, rows = group.folder, group.rows
        path = chain.file_path(folder, start, end, self._name)
        async with self._slots:
            content = await asyncio.to_thread(to_parquet, list(group.seal()))
            with store_errors(f"writing {path}"):
                await obstore.put_async(self._store, path, content, use_multipart=False)
        return LakeFile(path, rows, len(content), folder.source, folder.date, folder.hour)

    async def _drop(self, files: Sequence[LakeFile]) -> None:
        """A courtesy: what stays behind is removed by vacuum."""
        for file in files:
            with suppress(PenstockError, FileNotFoundError), store_errors(f"deleting {file.path}"):
                await obstore.delete_async(self._store, file.path)
