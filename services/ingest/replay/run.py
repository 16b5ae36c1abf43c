"""Sends recorded files as the events they hold, and counts what was sent."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from penstock.clock import Clock
from penstock.errors import DataError, PermanentError
from penstock.event import Event
from penstock.event_input import parse_event
from penstock.stream.publisher import Publisher
from services.ingest.accept import Acceptor
from services.ingest.replay.duplicates import Duplicator
from services.ingest.replay.files import PARSERS, Lines
from services.ingest.replay.manifest import Tally
from services.ingest.replay.oracle import Oracle
from services.ingest.replay.parser import Parser, Skipped
from services.ingest.token_bucket import TokenBucket

BATCH = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one line holds, with the line for the oracle."""

    line: bytes
    events: tuple[Event, ...]


class Replay:
    """
    Args:
        bucket: None sends as fast as the broker acknowledges.
    """

    def __init__(
        self,
        source: str,
        files: Sequence[Path],
        duplicates: Duplicator[Recorded],
        acceptor: Acceptor,
        publisher: Publisher,
        bucket: TokenBucket | None,
        clock: Clock,
    ) -> None:
        self._source = source
        self._files = [Lines(file) for file in files]
        self._duplicates = duplicates
        self._acceptor = acceptor
        self._publisher = publisher
        self._bucket = bucket
        self._clock = clock
        self._oracle = Oracle(source)
        self.tally = Tally(source)

    @property
    def total_bytes(self) -> int:
        return sum(lines.size_bytes for lines in self._files)

    @property
    def read_bytes(self) -> int:
        return sum(lines.read_bytes for lines in self._files)

    async def run(self, stop: asyncio.Event) -> bool:
        """Sends everything; False where it was told to stop before.

        `tally` counts what the broker acknowledged, also when this raises.

        Raises:
            PermanentError: a file cannot be read or is no recording of this source; the text has its line.
            PenstockError: the broker did not take an event.
        """
        stream = self._stream()
        while not stop.is_set():
            if not (room := self._room()):
                await self._pause()
            elif batch := list(islice(stream, room)):
                await self._send(batch)
            else:
                return True
        return False

    def _room(self) -> int:
        """How many may be sent now; tokens are taken when they are."""
        if self._bucket is None:
            return BATCH
        return min(BATCH, self._bucket.whole(self._clock.monotonic_s()))

    async def _pause(self) -> None:
        assert self._bucket is not None  # noqa: S101  without one there is always room
        await asyncio.sleep(self._bucket.wait_s(1, self._clock.monotonic_s()))

    async def _send(self, batch: Sequence[Recorded]) -> None:
        now_ms = self._clock.now_ms()
        outgoing = [
            self._acceptor.accept(replace(event, ingested_at=now_ms)) for recorded in batch for event in recorded.events
        ]
        if self._bucket is not None:
            self._bucket.take_up_to(len(outgoing), self._clock.monotonic_s())
        results = await self._publisher.publish(outgoing)
        at = 0
        for recorded in batch:
            acks = results[at : at + len(recorded.events)]
            at += len(recorded.events)
            self.tally.sent += acks.count(None)
            if all(ack is None for ack in acks):
                self._oracle.saw(recorded.line)
        self.tally.unique = self._oracle.unique
        self.tally.planted = self._duplicates.planted
        for error in results:
            if error is not None:
                raise error

    def _stream(self) -> Iterator[Recorded]:
        """Everything to send, in its order, planted duplicates included."""
        for lines in self._files:
            parser = PARSERS[self._source](lines.path)
            for line in lines:
                recorded = self._read(parser, lines, line)
                if recorded is not None:
                    yield from self._duplicates.put(recorded)
        yield from self._duplicates.rest()

    def _read(self, parser: Parser, lines: Lines, line: bytes) -> Recorded | None:
        self.tally.lines += 1
        if not line:
            self.tally.skipped["empty"] += 1
            return None
        try:
            found = parser.parse(line)
        except DataError as error:
            raise lines.bad(self._source, error) from error
        if len(self._oracle.keys(line)) != (0 if isinstance(found, Skipped) else len(found)):
            raise PermanentError(f"{lines.where}: parser and oracle see different events here, one of them is wrong")
        if isinstance(found, Skipped):
            self.tally.skipped[found.reason] += 1
            return None
        try:
            return Recorded(line, tuple(parse_event(fields, self._clock.now_ms()) for fields in found))
        except DataError as error:
            self.tally.skipped[f"invalid:{error.reason}"] += 1
            return None
