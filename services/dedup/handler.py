"""Dedup as a stage: records in, each one unique, a duplicate, late, or a dead letter.

Originals and late records go on as they came, byte for byte: no value is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import cast

import numpy as np

from penstock.errors import DataError, PermanentError
from penstock.fingerprint import FINGERPRINT_BYTES
from penstock.stream import headers
from penstock.stream.handler import Dead, Output
from penstock.stream.port import TIMESTAMP_MS, Outgoing, Record
from services.dedup.entries import LONG, OFFSET, TIMESTAMP, WORD, Longs, Words
from services.dedup.state import SeenState
from services.dedup.window import Decisions, Verdict

HOW = "exact"


@dataclass(frozen=True, slots=True)
class Topics:
    """Where what goes."""

    unique: str = "events.unique"
    duplicates: str = "events.duplicates"
    late: str = "events.late"


class Dedup:
    """Implements penstock.stream.handler.Handler.

    Args:
        encode: a Duplicate's fields (schemas/avro/duplicate) to its framed value.
        count: told how many records were unique, duplicate and late.
    """

    def __init__(
        self,
        state: SeenState,
        encode: Callable[[Mapping[str, object]], bytes],
        topics: Topics,
        count: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._state = state
        self._encode = encode
        self._topics = topics
        self._count = count

    async def process(self, batch: Sequence[Record]) -> Output:
        sound, entries, dead = _sorted_out(batch, b"%d" % self._state.fingerprint_version)
        output = Output(dead=dead)
        if not sound:
            return output
        decisions = self._decide(sound, entries)
        if not decisions.verdict.any():
            output.forward[self._topics.unique] = list(sound)
            self._count("unique", len(sound))
            return output
        for verdict, topic in ((Verdict.ORIGINAL, self._topics.unique), (Verdict.LATE, self._topics.late)):
            chosen = list(compress(sound, (decisions.verdict == verdict).tolist()))
            if chosen:
                output.forward[topic] = chosen
        duplicates = decisions.at(Verdict.DUPLICATE).tolist()
        output.send = [self._duplicate(sound[i], decisions, i) for i in duplicates]
        self._count("unique", len(output.forward.get(self._topics.unique, ())))
        self._count("late", len(output.forward.get(self._topics.late, ())))
        self._count("duplicate", len(duplicates))
        return output

    def _decide(self, records: Sequence[Record], entries: Words) -> Decisions:
        partitions = [record.partition() for record in records]
        distinct = set(partitions)
        if len(distinct) == 1:
            return self._state.seen(partitions[0]).window.decide(entries)
        decisions, column = Decisions.all_original(len(records)), np.array(partitions)
        for partition in distinct:
            at: Longs = np.flatnonzero(column == partition)
            decisions.update(at, self._state.seen(partition).window.decide(entries[at]))
        return decisions

    def _duplicate(self, record: Record, decisions: Decisions, at: int) -> Outgoing:
        timestamp_ms, partition = record.timestamp()[TIMESTAMP_MS], record.partition()
        source = headers.get(record, headers.SOURCE)
        value = self._encode(
            {
                "uid": headers.get(record, headers.UID),
                "source": source.decode("utf-8", "replace") if source is not None else None,
                "timestamp": timestamp_ms,
                "partition": partition,
                "offset": record.offset(),
                "first": {
                    "topic_id": self._state.seen(partition).topic_id,
                    "partition": partition,
                    "offset": int(decisions.first_offset[at]),
                    "timestamp": int(decisions.first_timestamp[at]),
                },
                "how": HOW,
            }
        )
        return Outgoing(self._topics.duplicates, record.key(), value, record.headers() or [], timestamp_ms)


def _sorted_out(batch: Sequence[Record], version: bytes) -> tuple[Sequence[Record], Words, list[Dead]]:
    """The records that can be decided on, their entries, and those that can not be decided on.

    Raises:
        PermanentError: a fingerprint is of another version.
    """
    keys = [record.key() for record in batch]
    times = [record.timestamp()[TIMESTAMP_MS] for record in batch]
    if min(times) > 0 and _fingerprints(keys) and _traceable(batch, version):
        return batch, _entries(batch, keys, times), []
    sound, dead = list[Record](), list[Dead]()
    for record in batch:
        fault = _fault(record, version)
        if fault is None:
            sound.append(record)
        else:
            dead.append(Dead(record, fault))
    keys = [record.key() for record in sound]
    times = [record.timestamp()[TIMESTAMP_MS] for record in sound]
    return sound, _entries(sound, keys, times), dead


def _entries(records: Sequence[Record], keys: Sequence[bytes | None], times: Sequence[int]) -> Words:
    entries = np.empty((len(records), 4), WORD)
    entries[:, :TIMESTAMP] = np.frombuffer(b"".join(cast("Sequence[bytes]", keys)), WORD).reshape(-1, 2)
    longs = entries.view(LONG)
    longs[:, TIMESTAMP] = times
    longs[:, OFFSET] = [record.offset() for record in records]
    return entries


def _fingerprints(keys: Sequence[bytes | None]) -> bool:
    return None not in keys and set(map(len, cast("Sequence[bytes]", keys))) == {FINGERPRINT_BYTES}


def _traceable(batch: Sequence[Record], version: bytes) -> bool:
    """Every record has headers uid and source first and this fingerprint-version last, as ingest writes them; False
    says nothing about the rest.

    This is the hot path: the headers are made once per record whoever asks, and the producer asks anyway.
    """
    uid, source, uid_bytes, stated = (
        headers.UID,
        headers.SOURCE,
        headers.UID_BYTES,
        (headers.FINGERPRINT_VERSION, version),
    )
    for record in batch:
        found = record.headers()
        if found is None or len(found) < 2:
            return False
        first, second = found[0], found[1]
        if first[0] != uid or second[0] != source:
            return False
        if first[1] is None or len(first[1]) != uid_bytes or not second[1]:
            return False
        if found[-1] != stated:
            return False
    return True


def _fault(record: Record, version: bytes) -> DataError | None:
    key, found = record.key(), dict(record.headers() or ())
    stated = found.get(headers.FINGERPRINT_VERSION)
    if stated is not None and stated != version:
        shown = stated[:20].decode("ascii", "backslashreplace")
        raise PermanentError(
            f"{record.topic()}[{record.partition()}] offset {record.offset()} has a fingerprint of version {shown},"
            f" this dedup has version {version.decode()}: fingerprints of different versions never meet, so duplicates"
            " across the change would pass. Run ingest and dedup of one version; before both are changed, let dedup"
            " drain what the old ingest wrote"
        )
    if key is None or len(key) != FINGERPRINT_BYTES:
        what = "no key" if key is None else f"a key of {len(key)} bytes"
        return DataError("bad-key", f"the record has {what}; a fingerprint has {FINGERPRINT_BYTES}", field="key")
    uid = found.get(headers.UID)
    if uid is None or len(uid) != headers.UID_BYTES:
        what = "no uid header" if uid is None else f"a uid of {len(uid)} bytes, not {headers.UID_BYTES}"
        return DataError("bad-uid", f"the record has {what}: it could not be traced", field=headers.UID)
    if not found.get(headers.SOURCE):
        return DataError(
            "no-source", "the record has no source header: it could not be accounted", field=headers.SOURCE
        )
    if record.timestamp()[TIMESTAMP_MS] <= 0:
        return DataError("no-timestamp", "the record has no ingest time, which the window goes by", field="timestamp")
    return None
