"""The two stores outside Kafka, in memory and behind a bad line: a table with compare-and-set, and an object store."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TypeGuard

from obstore.exceptions import AlreadyExistsError

from penstock.errors import TransientError
from penstock.stream.port import TopicPartition
from services.sink.postgres.columns import COLUMNS, Cells
from services.sink.postgres.store import CopyRefusedError, Span
from tests.simulation.faults import Fault
from tests.simulation.process import Process

TIMEOUT_S = 3.0
"""How long a store is waited for."""
NOT_TEXT = "\0"
"""What no text in Postgres may hold."""
_UID, _TEXT = COLUMNS.index("uid"), COLUMNS.index("text")
_COORDINATE = COLUMNS.index("topic")
"""The last three columns."""


class Database:
    """What has been committed: the offsets, and the rows' uids in the order they came."""

    compares = True
    uid_is_key = True
    by_id = True

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], int] = {}
        self.uids: list[bytes] = []
        self.inserted: list[tuple[object, ...]] = []
        """Topic id, topic, partition, offset of every row that was ever inserted, of those too that were there."""
        self.locked_until_s = 0.0
        """A transaction whose client is gone holds its locks until the server notices."""

    def transact(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        """All that `services.sink.postgres.store.Store.put` does in its transaction."""
        now: dict[TopicPartition, int] = {}
        for span in spans:
            key = self.key(span.topic_id, span.partition.partition)
            if self.offsets[key] == span.start or not self.compares:
                self.offsets[key] = span.end
                self.insert(span)
            now[span.partition] = self.offsets[key]
        return now

    def key(self, topic_id: str, partition: int) -> tuple[str, int]:
        return (topic_id if self.by_id else "", partition)

    def insert(self, span: Span) -> None:
        for cells in span.rows:
            uid = cells[_UID]
            assert isinstance(uid, bytes)
            self.inserted.append((span.topic_id, *cells[_COORDINATE:]))
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
        keys = {tp: self._database.key(topic_ids[tp.topic], tp.partition) for tp in partitions}
        found = {tp: self._database.offsets.setdefault(key, 0) for tp, key in keys.items()}
        await self._process.leave("table.positions")
        return found

    async def put(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        fault = await self._process.enter("table.put")
        now_s = self._process.cluster.now_s
        await self._takes(self._database.locked_until_s - now_s)
        if _is(fault, "breaks half-way"):
            self._database.locked_until_s = now_s + fault.length_s
            raise TransientError("the connection broke inside the transaction, as planned")
        if any(_is_refused(cells) for span in spans for cells in span.rows):
            raise CopyRefusedError from ValueError("not a text")
        if _is(fault, "arrives late"):
            asyncio.get_running_loop().call_later(fault.length_s, self._database.transact, _frozen(spans))
            raise TransientError("the answer to the COMMIT did not come in time, as planned")
        found = await self.transact(spans)
        if any(found[span.partition] != span.end for span in spans):
            self._process.plan.meet("somebody else had stored it")
        if _is(fault, "answers late"):
            await self._takes(fault.length_s)
        await self._process.leave("table.put")
        return found

    async def transact(self, spans: Sequence[Span]) -> dict[TopicPartition, int]:
        return self._database.transact(spans)

    async def _takes(self, length_s: float) -> None:
        if length_s > 0:
            await self._process.pause(min(length_s, TIMEOUT_S))
        if length_s > TIMEOUT_S:
            raise TransientError("the database did not answer in time, as planned")

    async def refused(self, rows: Sequence[Cells]) -> list[tuple[int, Exception]]:
        await self._process.enter("table.refused")
        found = [(at, ValueError("not a text")) for at, cells in enumerate(rows) if _is_refused(cells)]
        await self._process.leave("table.refused")
        return [*found]

    async def close(self) -> None:
        await self._process.enter("table.close")


def _is_refused(cells: Cells) -> bool:
    return cells[_TEXT] == NOT_TEXT


def _frozen(spans: Sequence[Span]) -> list[Span]:
    """As they are sent: the sink's buffers change afterwards."""
    return [Span(span.partition, span.topic_id, span.start, span.end, list(span.rows)) for span in spans]


def _is(fault: Fault | None, what: str) -> TypeGuard[Fault]:
    return fault is not None and fault.kind == f"store: {what}"


class FaultyObjects:
    """Stands for the object store and the module obstore in one: the calls that penstock.lake makes of it."""

    conditional = True

    def __init__(self, process: Process, objects: dict[str, bytes]) -> None:
        self.process = process
        self.objects = objects
        self.waiting: dict[str, bytes] = {}

    async def put(self, path: str, content: bytes, *, create: bool) -> None:
        call = "objects.create" if create else "objects.put"
        fault = await self.process.enter(call)
        if _is(fault, "breaks half-way"):
            raise OSError("the connection broke in the middle of an object, as planned")
        if _is(fault, "arrives late"):
            asyncio.get_running_loop().call_later(fault.length_s, self.write, path, content, create)
            raise OSError("the store did not answer in time, as planned")
        self.write(path, content, create)
        if _is(fault, "answers late"):
            await self.process.pause(fault.length_s)  # the sink has a limit of its own
        if create and _is(fault, "answers with what it did itself"):
            raise _exists(path)  # the client repeated a request whose answer was lost
        await self.process.leave(call)
        if create and self.objects[path] is not content:
            self.process.plan.meet("somebody else had stored it")
            raise _exists(path)

    def write(self, path: str, content: bytes, create: bool) -> None:
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

    def __init__(self, process: Process, content: bytes) -> None:
        self._process = process
        self._content = content

    async def bytes_async(self) -> bytes:
        await self._process.enter("objects.bytes")
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
        return Got(store.process, await store.get(path))

    @staticmethod
    async def delete_async(store: FaultyObjects, path: str) -> None:
        await store.process.enter("objects.delete")
        store.objects.pop(path, None)
        await store.process.leave("objects.delete")

    @staticmethod
    async def list(
        store: FaultyObjects, prefix: str, *, offset: str | None = None, chunk_size: int = 50
    ) -> AsyncIterator[list[dict[str, str]]]:
        names = sorted(await store.names(prefix, offset))
        for at in range(0, len(names), chunk_size):
            yield [{"path": path} for path in names[at : at + chunk_size]]
