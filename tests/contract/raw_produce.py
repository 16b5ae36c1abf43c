"""A record written byte by byte, as only another client can: Python's own refuses header names that are not UTF-8.

Formats: https://kafka.apache.org/protocol (Produce, version 7) and https://kafka.apache.org/documentation/#recordbatch.
"""

import asyncio
import struct
import time
from collections.abc import Sequence


async def raw_produce(
    leader: str,
    topic: str,
    partition: int,
    key: bytes,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> int:
    """Writes one record; its offset, once the broker has it. `leader` is the address of the partition's leader."""
    batch = _batch(_record(key, value, headers), time.time_ns() // 1_000_000)
    body = struct.pack(">hhi", -1, -1, 30_000)  # no transaction, acks=all, a time-out
    body += struct.pack(">ih", 1, len(topic)) + topic.encode() + struct.pack(">ii", 1, partition)
    body += struct.pack(">i", len(batch)) + batch
    header = struct.pack(">hhihs", 0, 7, 1, 1, b"t")  # Produce, version 7, correlation and client id
    host, _, port = leader.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(struct.pack(">i", len(header + body)) + header + body)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        answer = await reader.readexactly(size)
    finally:
        writer.close()
        await writer.wait_closed()
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
    assert error == 0, f"the broker refuses the record with error {error}"
    return int(offset)


def _record(key: bytes, value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\0", _varint(0), _varint(0), _sized(key), _sized(value), _varint(len(headers))]
    record = b"".join([*parts, *(_sized(name) + _sized(content) for name, content in headers)])
    return _varint(len(record)) + record


def _batch(record: bytes, now_ms: int) -> bytes:
    covered = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, -1, -1, -1, 1) + record
    checked = struct.pack(">ibI", -1, 2, _crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(checked)) + checked


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Zigzag, base 128; no negative is needed here."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _crc32c(content: bytes) -> int:
    """Castagnoli's, RFC 3720 appendix B.4; bit by bit, for a record or two."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
