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
from services.ingest.replay.parser import Fields, Parser, Skipped
from services.ingest.token_bucket import TokenBucket

BATCH = 500


@dataclass(frozen=True, slots=True)
class Recording:
    """What is to be sent: these files of this source, `rounds` times over, or until it is told to stop where that is 0.

    The events of a later round are new ones: `~2`, `~3` and so on stand behind their ids.
    """

    source: str
    files: Sequence[Path]
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one line holds, with the line for the oracle."""

    line: bytes
    events: tuple[Event, ...]
    round: int


class Replay:
    """
    Args:
        bucket: None sends as fast as the broker acknowledges.
    """

    def __init__(
        self,
        recording: Recording,
        duplicates: Duplicator[Recorded],
        acceptor: Acceptor,
        publisher: Publisher,
        bucket: TokenBucket | None,
        clock: Clock,
    ) -> None:
        self._recording = recording
        self._files = [Lines(file) for file in recording.files]
        self._round = 1
        self._duplicates = duplicates
        self._acceptor = acceptor
        self._publisher = publisher
        self._bucket = bucket
        self._clock = clock
        self._oracle = Oracle(recording.source)
        self._oracle_round = 1
        self._unique_before = 0
        """In the rounds before the oracle's: it forgets them, so that an endless replay needs no endless memory."""
        self.tally = Tally(recording.source)

    @property
    def total_bytes(self) -> int:
        """Of one round."""
        return sum(lines.size_bytes for lines in self._files)

    @property
    def read_bytes(self) -> int:
        """In this round."""
        return sum(lines.read_bytes for lines in self._files)

    @property
    def share(self) -> float | None:
        """Of all rounds together, by the bytes read; None where there is no end to it."""
        if self._recording.rounds == 0:
            return None
        read = self.read_bytes / self.total_bytes if self.total_bytes else 1.0
        return (self._round - 1 + read) / self._recording.rounds

    async def run(self, stop: asyncio.Event) -> bool:
        """Sends everything; False where it was told to stop before there was no more to send.

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
        return self._recording.rounds == 0

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
                self._saw(recorded)
        self.tally.unique = self._unique_before + self._oracle.unique
        self.tally.planted = self._duplicates.planted
        for error in results:
            if error is not None:
                raise error

    def _saw(self, recorded: Recorded) -> None:
        if recorded.round != self._oracle_round:
            self._unique_before += self._oracle.unique
            self._oracle, self._oracle_round = Oracle(self._recording.source), recorded.round
        self._oracle.saw(recorded.line)

    def _stream(self) -> Iterator[Recorded]:
        """Everything to send, in its order, planted duplicates included, which come in the round of their originals."""
        while True:
            some = False
            for recorded in self._once():
                some = True
                yield recorded
            if self._round == self._recording.rounds or not some:
                return
            self._round += 1
            self._files = [Lines(file) for file in self._recording.files]

    def _once(self) -> Iterator[Recorded]:
        for lines in self._files:
            parser = PARSERS[self._recording.source](lines.path)
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
            raise lines.bad(self._recording.source, error) from error
        if len(self._oracle.keys(line)) != (0 if isinstance(found, Skipped) else len(found)):
            raise PermanentError(f"{lines.where}: parser and oracle see different events here, one of them is wrong")
        if isinstance(found, Skipped):
            self.tally.skipped[found.reason] += 1
            return None
        try:
            events = (parse_event(self._of_this_round(fields), self._clock.now_ms()) for fields in found)
            return Recorded(line, tuple(events), self._round)
        except DataError as error:
            self.tally.skipped[f"invalid:{error.reason}"] += 1
            return None

    def _of_this_round(self, fields: Fields) -> Fields:
        return fields if self._round == 1 else {**fields, "id": f"{fields['id']}~{self._round}"}
