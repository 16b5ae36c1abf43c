"""The two stores outside Kafka, in memory and behind a bad line: a table with compare-and-set, and an object store."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from obstore.exceptions import AlreadyExistsError

from penstock.errors import TransientError
from penstock.stream.port import TopicPartition
from services.sink.postgres.columns import COLUMNS, Cells
from services.sink.postgres.store import Span
from tests.simulation.process import Process

_UID = COLUMNS.index("uid")
_COORDINATE = COLUMNS.index("topic")
"""The last three columns."""


class Database:
    """What has been committed: the offsets, and the rows' uids in the order they came."""

    compares = True
    uid_is_key = True

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], int] = {}
        self.uids: list[bytes] = []
        self.inserted: list[tuple[object, ...]] = []
        """Topic, partition and offset of every row that was ever inserted, those included that were there already."""

    def transact(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        """All that `services.sink.postgres.store.Store.put` does in its transaction."""
        now: dict[TopicPartition, int] = {}
        for span in spans:
            key = span.topic_id, span.partition.partition
            if self.offsets[key] == span.start or not self.compares:
                self.offsets[key] = span.end
                self._insert(span.rows)
            now[span.partition] = self.offsets[key]
        return now

    def _insert(self, rows: Sequence[Cells]) -> None:
        for cells in rows:
            uid = cells[_UID]
            assert isinstance(uid, bytes)
            self.inserted.append(cells[_COORDINATE:])
            if uid not in self.uids or not self.uid_is_key:  # ON CONFLICT DO NOTHING
                self.uids.append(uid)


class FaultyTable:
    """Stands for services.sink.postgres.store.Store in one process."""

    def __init__(self, process: Process, database: Database) -> None:
        self._process = process
        self._database = database

    async def positions(
        self, partitions: Collection[TopicPartition], topic_ids: Mapping[str, str]
    ) -> dict[TopicPartition, int]:
        await self._process.enter("table.positions")
        found = {tp: self._database.offsets.setdefault((topic_ids[tp.topic], tp.partition), 0) for tp in partitions}
        await self._process.leave("table.positions")
        return found

    async def put(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        fault = await self._process.enter("table.put")
        if fault is not None and fault.kind == "store: arrives late":
            asyncio.get_running_loop().call_later(fault.length_s, self._database.transact, _frozen(spans))
            raise TransientError("the answer to the COMMIT did not come in time, as planned")
        found = self._database.transact(spans)
        await self._process.leave("table.put")
        return found

    async def refused(self, rows: Sequence[Cells]) -> list[tuple[int, Exception]]:
        raise AssertionError(f"none of these {len(rows)} rows was refused")

    async def close(self) -> None:
        """Nothing to close."""


def _frozen(spans: Sequence[Span]) -> list[Span]:
    """As they are sent: the sink's buffers change afterwards."""
    return [Span(span.partition, span.topic_id, span.start, span.end, list(span.rows)) for span in spans]


class FaultyObjects:
    """Stands for the object store and the module obstore in one: the calls that penstock.lake makes of it."""

    conditional = True

    def __init__(self, process: Process, objects: dict[str, bytes]) -> None:
        self.process = process
        self.objects = objects

    async def put(self, path: str, content: bytes, *, create: bool) -> None:
        call = "objects.create" if create else "objects.put"
        fault = await self.process.enter(call)
        if fault is not None and fault.kind == "store: arrives late":
            asyncio.get_running_loop().call_later(fault.length_s, self._write, path, content, create)
            raise OSError("the store did not answer in time, as planned")
        self._write(path, content, create)
        if fault is not None and fault.kind == "store: answers itself":
            raise _exists(path)  # the client repeated a request whose answer was lost
        await self.process.leave(call)
        if create and self.objects[path] is not content:
            raise _exists(path)

    def _write(self, path: str, content: bytes, create: bool) -> None:
        if not create or path not in self.objects or not self.conditional:
            self.objects[path] = content

    async def get(self, path: str) -> bytes:
        await self.process.enter("objects.get")
        found = self.objects.get(path)
        await self.process.leave("objects.get")
        if found is None:
            raise FileNotFoundError(path)
        return found

    async def names(self, prefix: str, after: str | None) -> list[str]:
        await self.process.enter("objects.list")
        found = [path for path in self.objects if path.startswith(prefix) and (after is None or path > after)]
        await self.process.leave("objects.list")
        return found


def _exists(path: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"{path} exists already")


class Got:
    """The answer of `get_async`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def bytes_async(self) -> bytes:
        return self._content


class InsteadOfObstore:
    """Put in the place of the module: its functions as far as penstock.lake and the sink use them."""

    @staticmethod
    async def put_async(
        store: FaultyObjects, path: str, content: bytes, *, mode: str = "overwrite", use_multipart: bool = True
    ) -> None:
        await store.put(path, content, create=mode == "create")

    @staticmethod
    async def get_async(store: FaultyObjects, path: str) -> Got:
        return Got(await store.get(path))

    @staticmethod
    async def delete_async(store: FaultyObjects, path: str) -> None:
        await store.process.enter("objects.delete")
        store.objects.pop(path, None)

    @staticmethod
    async def list(
        store: FaultyObjects, prefix: str, *, offset: str | None = None, chunk_size: int = 50
    ) -> AsyncIterator[list[dict[str, str]]]:
        names = sorted(await store.names(prefix, offset))
        for at in range(0, len(names), chunk_size):
            yield [{"path": path} for path in names[at : at + chunk_size]]
