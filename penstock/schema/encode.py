"""From a schema, one Python function that encodes; generated once, so that nothing is looked up per record.

Penstock writes only its own schemas, so a union here is a type or null; others are refused when compiling.
"""

import struct
from collections.abc import Callable, Mapping
from functools import cache
from operator import index
from typing import Any

from penstock.errors import DataError
from penstock.schema.avro import (
    MISSING,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    SchemaError,
    Type,
    Union,
    describe,
)
from penstock.schema.source import Source

Encode = Callable[[bytes, Mapping[str, Any]], bytes]
"""Puts a prefix before the encoded record. Raises DataError("invalid-record") and nothing else."""


def varint(value: int) -> bytes:
    """An unsigned number in groups of seven bits, lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = 1 << 12
_LENGTHS = [varint(2 * size) for size in range(_SMALL)]


def length(size: int) -> bytes:
    return _LENGTHS[size] if size < _SMALL else varint(2 * size)


def write_long(value: Any) -> bytes:
    """A zigzag varint."""
    if type(value) is not int:
        value = index(value)
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if 1 << 35 <= zigzag < 1 << 42:  # times in milliseconds since 1970, in 6 bytes
        return bytes(
            (
                zigzag & 127 | 128,
                zigzag >> 7 & 127 | 128,
                zigzag >> 14 & 127 | 128,
                zigzag >> 21 & 127 | 128,
                zigzag >> 28 & 127 | 128,
                zigzag >> 35,
            )
        )
    if zigzag >= 1 << 64:
        raise OverflowError("beyond 64 bits")
    return varint(zigzag)


def write_int(value: Any) -> bytes:
    if not -(1 << 31) <= value < 1 << 31:
        raise OverflowError("beyond 32 bits")
    return write_long(value)


def items_of(value: Any) -> Any:
    """A list or a tuple; a text would pass as a sequence of texts otherwise."""
    if not isinstance(value, list | tuple):
        raise TypeError("not a list")
    return value


def fixed(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes, not {size}")
    return bytes_of(value)


def bytes_of(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("not bytes")
    return bytes(value)


_NAMES: dict[str, Any] = {
    "length": length,
    "write_long": write_long,
    "write_int": write_int,
    "items_of": items_of,
    "bytes_of": bytes_of,
    "fixed": fixed,
    "SMALL": _SMALL,
    "LENGTHS": _LENGTHS,
    "pack_float": struct.Struct("<f").pack,
    "pack_double": struct.Struct("<d").pack,
}

_UNFIT = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error, RecursionError)


def compile_encoder(schema: Record) -> Encode:
    """Encodes records of `schema`. Fields with a default may be left out; unknown ones are an error.

    Raises:
        SchemaError: the schema has a union of more than a type and null.
    """
    source = Source()
    with source.block("def encode(prefix, r):"):
        source.add("out = [prefix]", "a = out.append")
        _Generator(source).write(schema, "r")
        source.add("return b''.join(out)")
    generated = source.compile("encode", _NAMES)

    def encode(prefix: bytes, record: Mapping[str, Any]) -> bytes:
        try:
            encoded: bytes = generated(prefix, record)
        except _UNFIT:
            complete = fit(schema, record, "")
            try:
                encoded = generated(prefix, complete)
            except _UNFIT as error:
                raise DataError("invalid-record", f"cannot be written as {schema.name}: {error!r}") from error
        return encoded

    return encode


class _Generator:
    """Writes the code that appends the encoding of one value to `out`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def write(self, type_: Type, value: str) -> None:
        """`value` is an expression that is read once."""
        add = self._source.add
        match type_:
            case Primitive("null"):
                add(f"if {value} is not None: raise TypeError('not null')")
            case Primitive("boolean"):
                add(f"a({{True: b'\\1', False: b'\\0'}}[{value}])")
            case Primitive("int" | "long" as width):
                add(f"a(write_{width}({value}))")
            case Primitive("float" | "double" as width):
                add(f"a(pack_{width}({value}))")
            case Primitive(name):
                self._bytes(f"{value}.encode()" if name == "string" else f"bytes_of({value})")
            case Fixed(_, size):
                add(f"a(fixed({value}, {size}))")
            case Enum(_, symbols):
                codes = {symbol: varint(2 * position) for position, symbol in enumerate(symbols)}
                add(f"a({self._source.constant(codes)}[{value}])")
            case Array(items):
                self._array(items, value)
            case Map(values):
                self._map(values, value)
            case Union(branches):
                self._union(branches, value)
            case Record(_, fields):
                self._record(fields, value)

    def _bytes(self, value: str) -> None:
        content, size = self._source.name(), self._source.name()
        self._source.add(
            f"{content} = {value}; {size} = len({content})",
            f"a(LENGTHS[{size}] if {size} < SMALL else length({size})); a({content})",
        )

    def _array(self, items: Type, value: str) -> None:
        held, item, source = self._source.name(), self._source.name(), self._source
        source.add(f"{held} = {value}")
        with source.block(f"if items_of({held}):"):
            source.add(f"a(length(len({held})))")
            with source.block(f"for {item} in {held}:"):
                self.write(items, item)
        source.add("a(b'\\0')")

    def _map(self, values: Type, value: str) -> None:
        held, key, item, source = self._source.name(), self._source.name(), self._source.name(), self._source
        source.add(f"{held} = {value}.items()")
        with source.block(f"if {held}:"):
            source.add(f"a(length(len({held})))")
            with source.block(f"for {key}, {item} in {held}:"):
                self._bytes(f"{key}.encode()")
                self.write(values, item)
        source.add("a(b'\\0')")

    def _union(self, branches: tuple[Type, ...], value: str) -> None:
        null = Primitive("null")
        others = [branch for branch in branches if branch != null]
        if len(others) != 1:
            raise SchemaError(f"only unions of a type and null can be written, not {describe(Union(branches))}")
        held, source = self._source.name(), self._source
        source.add(f"{held} = {value}")
        if null in branches:
            source.add(f"if {held} is None: a({varint(2 * branches.index(null))!r})")
            with source.block("else:"):
                source.add(f"a({varint(2 * branches.index(others[0]))!r})")
                self.write(others[0], held)
        else:
            source.add("a(b'\\0')")
            self.write(others[0], held)

    def _record(self, fields: tuple[Field, ...], value: str) -> None:
        held = self._source.name()
        # With as many keys as fields, and every field found below, no key can be unknown.
        self._source.add(f"{held} = {value}", f"if len({held}) != {len(fields)}: raise KeyError")
        for field in fields:
            self.write(field.type, f"{held}[{field.name!r}]")


def fit(type_: Type, value: Any, where: str) -> Any:
    """The value with defaults filled in.

    Raises:
        DataError: `invalid-record`, with the path of the first field at fault.
    """
    match type_:
        case Record(_, fields):
            return _fit_record(fields, value, where)
        case Union(branches):
            if value is None and Primitive("null") in branches:
                return None
            others = [branch for branch in branches if branch != Primitive("null")]
            return fit(others[0], value, where)
        case Array(items) if isinstance(value, list | tuple):
            return [fit(items, item, f"{where}[{position}]") for position, item in enumerate(value)]
        case Map(values) if isinstance(value, Mapping):
            for key in value:
                fit(Primitive("string"), key, where)
            return {key: fit(values, item, f"{where}.{key}") for key, item in value.items()}
        case Enum(_, symbols):
            if not isinstance(value, str) or value not in symbols:
                raise DataError(
                    "invalid-record", f"{where} must be one of {', '.join(symbols)}, not {_shown(value)}", field=where
                )
            return value
        case Primitive() | Fixed():
            _probe(type_, value, where)
            return value
        case _:
            raise DataError("invalid-record", f"{where} must be {describe(type_)}, not {_shown(value)}", field=where)


def _fit_record(fields: tuple[Field, ...], value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError("invalid-record", f"{where or 'it'} must be a record, not {_shown(value)}", field=where or None)
    fitted = {}
    for field in fields:
        path = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            fitted[field.name] = fit(field.type, value[field.name], path)
        elif field.default is MISSING:
            raise DataError("invalid-record", f"the field {path} is missing", field=path)
        else:
            fitted[field.name] = field.default
    unknown = sorted(str(key) for key in value.keys() - fitted.keys())
    if unknown:
        path = f"{where}.{unknown[0]}" if where else unknown[0]
        raise DataError("invalid-record", f"there is no field {_shown(path)}", field=path)
    return fitted


@cache
def _writer_of(type_: Primitive | Fixed) -> Callable[[Any], None]:
    source = Source()
    with source.block("def probe(r):"):
        source.add("out = []", "a = out.append")
        _Generator(source).write(type_, "r")
    return source.compile("probe", _NAMES)


def _probe(type_: Primitive | Fixed, value: Any, where: str) -> None:
    """Writes one value by itself, to tell what is wrong with it."""
    try:
        _writer_of(type_)(value)
    except UnicodeEncodeError as error:
        detail = f"{where} holds a lone surrogate (at character {error.start}), which is no text"
        raise DataError("invalid-record", detail, field=where) from error
    except _UNFIT as error:
        detail = f"{where} must be {describe(type_)}, not {_shown(value)}"
        raise DataError("invalid-record", detail, field=where) from error


def _shown(value: object) -> str:
    """A value as a message may show it: short, and without surprises."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
