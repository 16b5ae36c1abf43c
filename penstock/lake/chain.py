"""Manifests in the store: committing one, finding the end of a chain, reading them all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from penstock.errors import TransientError
from penstock.lake.layout import MANIFESTS, Chain, place_of_manifest
from penstock.lake.manifest import Manifest
from penstock.lake.store import store_errors

PAGE = 1000
"""Names per listing request; what S3 gives at most."""
_READ_TOGETHER = 16


async def commit(store: ObjectStore, manifest: Manifest) -> Manifest:
    """Creates the manifest if none has its start, and returns the one that has it: ours, or somebody else's.

    The creation is one atomic request (If-None-Match: *). Ours may come back with another end than `manifest` has,
    when an earlier attempt that seemed to fail was stored after all.

    Raises:
        TransientError: whether it was created is unknown; call again.
    """
    with store_errors(f"committing {manifest.path}"):
        try:
            await obstore.put_async(
                store,
                manifest.path,
                manifest.encode(),
                mode="create",
                use_multipart=False,
            )
        except AlreadyExistsError:
            return await read(store, manifest.path)
    return manifest


async def read(store: ObjectStore, path: str) -> Manifest:
    with store_errors(f"reading {path}"):
        try:
            answer = await obstore.get_async(store, path)
            content = bytes(await answer.bytes_async())
        except FileNotFoundError as error:
            # Manifests are never deleted: an overloaded store, or one that is not consistent after writes.
            raise TransientError(f"{path} is in the store and cannot be found") from error
    return Manifest.decode(content, path)


async def end_of(store: ObjectStore, chain: Chain) -> int:
    """Where the chain ends: the next offset to commit from; 0 for an empty chain.

    Only the last manifest is read, since each one was created at the end of the one before; and a chain of a million
    is not walked to find its name.
    """
    last = await last_start(lambda start: _starts_after(store, chain, start))
    if last is None:
        return 0
    return (await read(store, chain.manifest_path(last))).end


async def last_start(starts_after: Callable[[int], Awaitable[Sequence[int]]]) -> int | None:
    """The highest start, asked for in tens of pages however many there are: by leaps that double while they land.

    `starts_after(x)` is a page of starts above x: all of them, or `PAGE` of them in any order.
    """
    last, leap = -1, 0
    while True:
        page = await starts_after(last + leap)
        if page:
            last = max(page)
            if len(page) < PAGE:
                return last
            leap = leap * 2 or PAGE
        elif leap:
            leap //= 4
        else:
            return last if last >= 0 else None


async def _starts_after(store: ObjectStore, chain: Chain, start: int) -> Sequence[int]:
    offset = chain.manifest_path(start) if start >= 0 else None
    with store_errors(f"listing {chain.prefix}"):
        # A directory lists in no order: what comes first is any page, which is all that last_start needs.
        async for page in obstore.list(store, chain.prefix, offset=offset, chunk_size=PAGE):
            places = (place_of_manifest(entry["path"]) for entry in page)
            return [place[1] for place in places if place is not None]
    return ()


async def paths_of_manifests(store: ObjectStore, topic: str | None = None) -> AsyncIterator[str]:
    """The names of all manifests, or of those of one topic, in no particular order."""
    prefix = MANIFESTS if topic is None else f"{MANIFESTS}{topic}/"
    with store_errors(f"listing {prefix}"):
        async for page in obstore.list(store, prefix, chunk_size=PAGE):
            for entry in page:
                if place_of_manifest(entry["path"]) is not None:
                    yield entry["path"]


async def manifests(store: ObjectStore, topic: str | None = None) -> AsyncIterator[Manifest]:
    """All manifests, or those of one topic, in no particular order; sixteen are read at a time."""
    pending: list[str] = []
    async for path in paths_of_manifests(store, topic):
        pending.append(path)
        if len(pending) == _READ_TOGETHER:
            for manifest in await asyncio.gather(*(read(store, path) for path in pending)):
                yield manifest
            pending.clear()
    for manifest in await asyncio.gather(*(read(store, path) for path in pending)):
        yield manifest
