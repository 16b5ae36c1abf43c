"""How one dead letter looks, for people and for programs. What strangers wrote never reaches a terminal as it is."""

import json
from collections.abc import Iterator
from typing import Any

from penstock.cli.printable import printable
from penstock.ledger.audit import Done
from penstock.ledger.letters import DeadLetter
from penstock.ledger.report import moment

_SHOWN_BYTES = 512
_PER_LINE = 16


def as_json(
    letter: DeadLetter, *, settled: Done | None = None, decoded: object = None, whole: bool = False
) -> dict[str, Any]:
    """Bytes are hex. `whole` adds the original's key, value and headers, and `decoded`, what its schema makes of it."""
    origin = letter.origin
    fields: dict[str, Any] = {
        "letter": letter.id,
        "stage": letter.stage,
        "topic": letter.topic,
        "topic_id": origin.topic_id if origin else None,
        "partition": origin.partition if origin else None,
        "offset": origin.offset if origin else None,
        "timestamp": moment(letter.timestamp_ms),
        "failed_at": moment(letter.failed_at_ms),
        "category": letter.category,
        "reason": letter.reason,
        "detail": letter.detail,
        "field": letter.field,
        "attempts": letter.attempts,
        "uid": _hex(letter.uid),
        "source": letter.source,
        "settled": settled and {"command": settled.command.value, "who": settled.who, "at": moment(settled.at_ms)},
    }
    if whole:
        fields |= {
            "key": _hex(letter.key),
            "value": _hex(letter.value),
            "value_size": _size(letter),
            "headers": [{"key": name, "value": _hex(value)} for name, value in letter.headers],
            "decoded": _plain(decoded),
        }
    return fields


def original(letter: DeadLetter) -> str:
    """Where the original stands, `topic[partition]@offset`."""
    if letter.topic is None or letter.origin is None:
        return "-"
    return f"{printable(letter.topic)}[{letter.origin.partition}]@{letter.origin.offset}"


def as_text(letter: DeadLetter, decoded: object, settled: Done | None = None) -> str:
    return "\n".join(_lines(letter, decoded, settled))


def _lines(letter: DeadLetter, decoded: object, settled: Done | None) -> Iterator[str]:
    yield letter.id
    if settled is not None:
        yield f"  {'settled':<10}  {settled.command.value}, {moment(settled.at_ms)}, by {printable(settled.who)}"
    for name, text in {
        "reason": f"{letter.reason} ({letter.category})",
        "detail": letter.detail,
        "field": letter.field or "-",
        "dead since": moment(letter.failed_at_ms),
        "attempts": str(letter.attempts),
        "source": letter.source or "-",
        "uid": _hex(letter.uid) or "-",
        "original": f"{original(letter)}, ingested {moment(letter.timestamp_ms)}",
        "key": _hex(letter.key) or "-",
    }.items():
        yield f"  {name:<10}  {printable(text)}"
    for name, value in letter.headers:
        yield f"  {'header':<10}  {printable(name)}: {_header(value)}"
    yield from _value(letter, decoded)


def _value(letter: DeadLetter, decoded: object) -> Iterator[str]:
    value = letter.value
    if value is None:
        yield f"  {'value':<10}  none: a tombstone"
        return
    yield f"  {'value':<10}  {_size(letter):,} bytes" + (
        f", of which {len(value):,} were kept" if letter.value_size else ""
    )
    for start in range(0, min(len(value), _SHOWN_BYTES), _PER_LINE):
        line = value[start : start + _PER_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"    {start:08x}  {line.hex(' '):<{3 * _PER_LINE}} {text}"
    if len(value) > _SHOWN_BYTES:
        yield f"    ... {len(value) - _SHOWN_BYTES:,} more bytes; --json has them all"
    if decoded is not None:
        yield f"  {'decoded':<10}  by the schema that it names"
        for line_of_json in json.dumps(_plain(decoded), indent=2, ensure_ascii=True).splitlines():
            yield f"    {line_of_json}"
    elif (as_utf8 := _text(value)) is not None:
        yield f"  {'as text':<10}  {printable(as_utf8[:_SHOWN_BYTES])}"


def _header(value: bytes | None) -> str:
    if value is None:
        return "none"
    text = _text(value)
    return printable(text) if text is not None and text.isprintable() else value.hex()


def _text(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _size(letter: DeadLetter) -> int | None:
    return letter.value_size if letter.value_size is not None else None if letter.value is None else len(letter.value)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _plain(value: object) -> object:
    """A decoded record with its bytes as hex, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
