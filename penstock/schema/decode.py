"""From a pair of schemas, the writer's and the reader's, one Python function that decodes.

The function is generated once per writer schema, so that nothing about a schema is looked up per record; resolution
(Avro 1.12, "Schema Resolution") happens here, at that time. It is safe on bytes of any origin: every loop consumes at
least one byte per turn, lengths only ever cut slices, and a number is read to ten bytes at most.
"""

import struct
from collections.abc import Callable
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
from penstock.schema.compatibility import branch_for, field_in, problems, promotes
from penstock.schema.source import Source

Decode = Callable[[bytes, int], Any]
"""Decodes from an index to the end of the bytes. Raises DataError and nothing else."""

_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1


class _BadDataError(ValueError):
    """Bytes that no writer of this schema makes."""


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at an index, and the index behind it."""
    byte = data[at]
    at += 1
    value = byte & 127
    shift = 7
    while byte > 127:
        if shift > 63:
            raise _BadDataError("a number runs over ten bytes")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
    value = (value >> 1) ^ -(value & 1)
    if not _LONG_MIN <= value <= _LONG_MAX:
        raise _BadDataError("a number is beyond 64 bits")
    return value, at


def read_int(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_long(data, at)
    if not _INT_MIN <= value <= _INT_MAX:
        raise _BadDataError("a number is beyond 32 bits")
    return value, at


def read_length(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_long(data, at)
    if value < 0:
        raise _BadDataError("a length is negative")
    return value, at


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """The number of items in a block; a negative one is followed by the block's size in bytes."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_long(data, at)
    return abs(count), at


def refuse(what: str) -> None:
    raise _BadDataError(what)


_NAMES: dict[str, Any] = {
    "read_long": read_long,
    "read_int": read_int,
    "read_length": read_length,
    "read_count": read_count,
    "refuse": refuse,
    "float_at": struct.Struct("<f").unpack_from,
    "double_at": struct.Struct("<d").unpack_from,
}


def compile_decoder(writer: Type, reader: Type) -> Decode:
    """Decodes what was written with `writer` as `reader` sees it; fields only the writer has are skipped unread.

    The decoder raises DataError `truncated`, `trailing-bytes` or `undecodable`.

    Raises:
        SchemaError: data of `writer` cannot be read as `reader`.
    """
    found = problems(reader, writer)
    if found:
        raise SchemaError(f"{describe(writer)} cannot be read as {describe(reader)}: {found[0]}")
    source = Source()
    with source.block("def decode(b, p):"):
        value = _Generator(source).read(writer, reader)
        source.add(f"return {value}, p")
    generated = source.compile("decode", _NAMES)

    def decode(data: bytes, start: int) -> Any:
        try:
            value, end = generated(data, start)
        except (IndexError, OverflowError, struct.error) as error:
            raise DataError("truncated", f"the record ends early, after {len(data)} bytes") from error
        except UnicodeDecodeError as error:
            if error.end == len(error.object) and data.endswith(error.object):
                raise DataError("truncated", f"the record ends early, after {len(data)} bytes") from error
            raise DataError("undecodable", f"a text is not UTF-8: {error.reason}") from error
        except _BadDataError as error:
            raise DataError("undecodable", str(error)) from error
        if end != len(data):
            if end > len(data):
                raise DataError("truncated", f"the record ends early, after {len(data)} bytes")
            raise DataError("trailing-bytes", f"{len(data) - end} bytes follow the end of the record")
        return value

    return decode


class _Generator:
    """Writes the code that reads one value at `p` of `b` and moves `p` behind it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, writer: Type, reader: Type) -> str:
        """Adds the code; returns an expression for the value."""
        if isinstance(writer, Union):
            return self._writer_union(writer, reader)
        if isinstance(reader, Union):
            return self.read(writer, _branch(writer, reader))
        match writer, reader:
            case Primitive(), Primitive():
                return self._primitive(writer.name, reader.name)
            case Fixed(_, size), Fixed():
                return self._fixed(size)
            case Enum(), Enum():
                return self._enum(writer, reader)
            case Array(), Array():
                return self._array(writer, reader)
            case Map(), Map():
                return self._map(writer, reader)
            case Record(), Record():
                return self._record(writer, reader)
            case _:
                raise SchemaError(f"{describe(writer)} is not {describe(reader)}")

    def _length(self) -> str:
        """Code that reads a length of bytes; the index behind them is in the returned name."""
        add, size, end = self._source.add, self._source.name(), self._source.name()
        add(f"{size} = b[p]", f"if {size} & 129: {size}, p = read_length(b, p)")
        add(f"else: {size} >>= 1; p += 1", f"{end} = p + {size}")
        return end

    def _primitive(self, writer: str, reader: str) -> str:
        add, value = self._source.add, self._source.name()
        match writer:
            case "null":
                return "None"
            case "boolean":
                add(f"{value} = b[p]; p += 1", f"if {value} > 1: refuse('a boolean is neither 0 nor 1')")
                return f"{value} == 1"
            case "int" | "long":
                add(f"{value}, p = read_{writer}(b, p)")
                return f"float({value})" if promotes(writer, reader) and reader in ("float", "double") else value
            case "float" | "double":
                add(f"({value},) = {writer}_at(b, p); p += {4 if writer == 'float' else 8}")
            case _:
                end = self._length()
                add(f"{value} = b[p:{end}]{'.decode()' if reader == 'string' else ''}; p = {end}")
        return value

    def _fixed(self, size: int) -> str:
        value = self._source.name()
        self._source.add(f"{value} = b[p:p + {size}]; p += {size}", "b[p - 1]")
        return value

    def _enum(self, writer: Enum, reader: Enum) -> str:
        symbols = [symbol if symbol in reader.symbols else reader.default for symbol in writer.symbols]
        one_byte = self._source.constant({2 * index: symbol for index, symbol in enumerate(symbols[:64])})
        value, index, known = self._source.name(), self._source.name(), self._source.constant(symbols)
        add = self._source.add
        add(f"{value} = {one_byte}.get(b[p])", f"if {value} is not None: p += 1")
        with self._source.block("else:"):
            add(f"{index}, p = read_length(b, p)")
            add(f"{value} = {known}[{index}] if {index} < {len(symbols)} else None")
            add(f"if {value} is None: refuse({f'{writer.name} has a symbol that {reader.name} does not know'!r})")
        return value

    def _blocks(self, item: Callable[[], None]) -> None:
        """Code that reads an array's or a map's blocks; `item` adds the code for one item."""
        count, source = self._source.name(), self._source
        with source.block("while True:"):
            source.add(f"{count} = b[p]", f"if {count} & 129: {count}, p = read_count(b, p)")
            source.add(f"else: {count} >>= 1; p += 1", f"if not {count}: break")
            with source.block(f"for _ in range({count}):"):
                item()

    def _array(self, writer: Array, reader: Array) -> str:
        value = self._source.name()
        self._source.add(f"{value} = []")
        self._blocks(lambda: self._source.add(f"{value}.append({self.read(writer.items, reader.items)})"))
        return value

    def _map(self, writer: Map, reader: Map) -> str:
        value = self._source.name()
        self._source.add(f"{value} = {{}}")

        def entry() -> None:
            key = self._primitive("string", "string")
            self._source.add(f"{value}[{key}] = {self.read(writer.values, reader.values)}")

        self._blocks(entry)
        return value

    def _writer_union(self, writer: Union, reader: Type) -> str:
        value, branch, source = self._source.name(), self._source.name(), self._source
        source.add(f"{branch} = b[p]; p += 1")
        for index, written in enumerate(writer.branches):
            with source.block(f"{'el' if index else ''}if {branch} == {2 * index}:"):
                source.add(f"{value} = {self.read(written, reader)}")
        source.add("else: refuse('a union has no such branch')")
        return value

    def _record(self, writer: Record, reader: Record) -> str:
        values: dict[str, str] = {}
        for written in writer.fields:
            wanted = next((field for field in reader.fields if field_in(field, writer) is written), None)
            if wanted is None:
                self._skip(written.type)
            else:
                values[wanted.name] = self.read(written.type, wanted.type)
        pairs = (f"{field.name!r}: {values.get(field.name) or self._default(field)}" for field in reader.fields)
        value = self._source.name()
        self._source.add(f"{value} = {{{', '.join(pairs)}}}")
        return value

    def _default(self, field: Field) -> str:
        """An expression that makes a new value each time, since readers may change what they get."""
        if field.default is MISSING:
            raise SchemaError(f"{field.name} has no default")
        return _literal(field.default)

    def _skip(self, writer: Type) -> None:
        add = self._source.add
        match writer:
            case Primitive("null"):
                pass
            case Primitive("boolean"):
                add("b[p]; p += 1")
            case Primitive("int" | "long"):
                add("_, p = read_long(b, p)")
            case Primitive("float"):
                add("p += 4; b[p - 1]")
            case Primitive("double"):
                add("p += 8; b[p - 1]")
            case Primitive():
                add(f"p = {self._length()}")
            case Fixed(_, size):
                add(f"p += {size}; b[p - 1]")
            case Enum():
                add("_, p = read_length(b, p)")
            case Array(items):
                self._blocks(lambda: self._skip(items))
            case Map(values):

                def entry() -> None:
                    add(f"p = {self._length()}")
                    self._skip(values)

                self._blocks(entry)
            case Union(branches):
                branch = self._source.name()
                add(f"{branch} = b[p]; p += 1")
                for index, written in enumerate(branches):
                    with self._source.block(f"{'el' if index else ''}if {branch} == {2 * index}:"):
                        add("pass")
                        self._skip(written)
                add("else: refuse('a union has no such branch')")
            case Record(_, fields):
                for field in fields:
                    self._skip(field.type)


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return f"float({str(value)!r})" if isinstance(value, float) else repr(value)


def _branch(writer: Type, reader: Union) -> Type:
    chosen = branch_for(writer, reader)
    if chosen is None:
        raise SchemaError(f"{describe(writer)} is not {describe(reader)}")
    return chosen
