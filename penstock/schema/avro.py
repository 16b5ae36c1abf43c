"""Avro schemas as data: parsed once, names resolved, logical types dropped.

After the Avro 1.12 specification (https://avro.apache.org/docs/1.12.0/specification/). Logical types only say how to
show a value; Penstock hands out and takes what is on the wire, so a timestamp is an int of milliseconds.
Schemas that refer to themselves are refused: data of any depth could then be hidden in them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.errors import PermanentError

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
MAX_BRANCHES: Final = 64
"""Of a union: their index then fits one byte, which keeps decoding fast and strict."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DEPTH: Final = 32


class SchemaError(PermanentError):
    """A schema that is not valid Avro, or that Penstock refuses to read."""


@dataclass(frozen=True, slots=True)
class Primitive:
    name: str


@dataclass(frozen=True, slots=True)
class Fixed:
    name: str
    size: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enum:
    name: str
    symbols: tuple[str, ...]
    default: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Array:
    items: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    values: "Type"


@dataclass(frozen=True, slots=True)
class Union:
    branches: tuple["Type", ...]


class _Missing:
    def __repr__(self) -> str:
        return "no default"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Field:
    """`default` is the Python value (bytes for bytes), or MISSING."""

    name: str
    type: "Type"
    default: Any = MISSING
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    fields: tuple[Field, ...]
    aliases: tuple[str, ...] = ()


Named = Fixed | Enum | Record
Type = Primitive | Fixed | Enum | Array | Map | Union | Record


def parse(schema: object) -> Type:
    """The type a JSON schema describes.

    Raises:
        SchemaError: not valid Avro, refers to itself, or nested deeper than 32 types.
    """
    return _Parser().type(schema, "", "schema", 0)


def parse_record(schema: object) -> Record:
    parsed = parse(schema)
    if not isinstance(parsed, Record):
        raise SchemaError(f"the schema must be a record, not {describe(parsed)}")
    return parsed


def describe(type_: Type) -> str:
    """A type in a few words, for messages."""
    match type_:
        case Primitive(name):
            return name
        case Array(items):
            return f"array of {describe(items)}"
        case Map(values):
            return f"map of {describe(values)}"
        case Union(branches):
            return " or ".join(describe(branch) for branch in branches)
        case Fixed(name, size):
            return f"fixed {name} of {size} bytes"
        case _:
            return f"{type(type_).__name__.lower()} {type_.name}"


def min_size(type_: Type) -> int:
    """0 for types that take no byte on the wire (null, a record of nothing else), otherwise 1."""
    match type_:
        case Primitive("null"):
            return 0
        case Record(_, fields):
            return max((min_size(field.type) for field in fields), default=0)
        case _:
            return 1


class _Parser:
    """Holds the named types met so far; a name that is still open refers to itself."""

    def __init__(self) -> None:
        self._named: dict[str, Named | None] = {}

    def type(self, schema: object, namespace: str, where: str, depth: int) -> Type:
        if depth > _MAX_DEPTH:
            raise SchemaError(f"{where}: nested deeper than {_MAX_DEPTH} types")
        if isinstance(schema, str):
            return Primitive(schema) if schema in PRIMITIVES else self._reference(schema, namespace, where)
        if isinstance(schema, list):
            return self._union(schema, namespace, where, depth)
        if not isinstance(schema, Mapping):
            raise SchemaError(f"{where}: a schema is a name, a list or an object, not {schema!r}")
        kind = schema.get("type")
        if kind == "array":
            items = self.type(schema.get("items"), namespace, f"{where}[]", depth + 1)
            if min_size(items) == 0:
                raise SchemaError(f"{where}: an array of {describe(items)} takes no bytes however long it says it is")
            return Array(items)
        if kind == "map":
            return Map(self.type(schema.get("values"), namespace, f"{where}{{}}", depth + 1))
        if kind in ("record", "error", "enum", "fixed"):
            return self._define(schema, namespace, where, depth)
        return self.type(kind, namespace, where, depth + 1)

    def _union(self, schema: list[Any], namespace: str, where: str, depth: int) -> Union:
        branches = tuple(self.type(branch, namespace, where, depth + 1) for branch in schema)
        if not 0 < len(branches) <= MAX_BRANCHES or any(isinstance(branch, Union) for branch in branches):
            raise SchemaError(f"{where}: a union has 1 to {MAX_BRANCHES} branches, none of them a union")
        keys = [branch.name if isinstance(branch, Primitive | Named) else type(branch).__name__ for branch in branches]
        if len(set(keys)) < len(keys):
            raise SchemaError(f"{where}: a union holds no type twice: {keys}")
        return Union(branches)

    def _reference(self, name: str, namespace: str, where: str) -> Named:
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        full = full if full in self._named or name not in self._named else name
        if full not in self._named:
            raise SchemaError(f"{where}: {name!r} is no Avro type, nor one defined before")
        known = self._named[full]
        if known is None:
            raise SchemaError(f"{where}: {full} refers to itself, which is not supported")
        return known

    def _define(self, schema: Mapping[str, Any], namespace: str, where: str, depth: int) -> Named:
        full, namespace = _full_name(schema, namespace, where)
        if full in self._named:
            raise SchemaError(f"{where}: {full} is defined twice")
        self._named[full] = None
        aliases = tuple(alias if "." in alias or not namespace else f"{namespace}.{alias}"
                        for alias in _strings(schema.get("aliases", []), where, "aliases"))  # fmt: skip
        made: Named
        match schema["type"]:
            case "fixed":
                size = schema.get("size")
                if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                    raise SchemaError(f"{where}: fixed {full} needs a size of at least 1, not {size!r}")
                made = Fixed(full, size, aliases)
            case "enum":
                made = _enum(schema, full, aliases, where)
            case _:
                made = Record(full, self._fields(schema, namespace, full, depth), aliases)
        self._named[full] = made
        return made

    def _fields(self, schema: Mapping[str, Any], namespace: str, full: str, depth: int) -> tuple[Field, ...]:
        listed = schema.get("fields")
        if not isinstance(listed, list) or not all(isinstance(field, Mapping) for field in listed):
            raise SchemaError(f"record {full} needs a list of fields")
        made = []
        for field in listed:
            name = _name(field.get("name"), f"record {full}")
            where = f"{full}.{name}"
            type_ = self.type(field.get("type"), namespace, where, depth + 1)
            default = from_json(type_, field["default"], where) if "default" in field else MISSING
            made.append(Field(name, type_, default, _strings(field.get("aliases", []), where, "aliases")))
        names = [field.name for field in made]
        if len(set(names)) < len(names):
            raise SchemaError(f"record {full} has a field twice: {sorted({n for n in names if names.count(n) > 1})}")
        return tuple(made)


def _enum(schema: Mapping[str, Any], full: str, aliases: tuple[str, ...], where: str) -> Enum:
    symbols = tuple(_name(symbol, where) for symbol in _strings(schema.get("symbols"), where, "symbols"))
    default = schema.get("default")
    if not symbols or len(set(symbols)) < len(symbols):
        raise SchemaError(f"{where}: enum {full} needs symbols, each one once")
    if default is not None and default not in symbols:
        raise SchemaError(f"{where}: the default {default!r} of enum {full} is none of its symbols")
    return Enum(full, symbols, default, aliases)


def _full_name(schema: Mapping[str, Any], namespace: str, where: str) -> tuple[str, str]:
    name = schema.get("name")
    if not isinstance(name, str) or not all(_NAME.fullmatch(part) for part in name.split(".")):
        raise SchemaError(f"{where}: a {schema['type']} needs a name, not {name!r}")
    if "." in name:
        return name, name.rpartition(".")[0]
    inner = schema.get("namespace", namespace)
    if not isinstance(inner, str) or (inner and not all(_NAME.fullmatch(part) for part in inner.split("."))):
        raise SchemaError(f"{where}: {inner!r} is no namespace")
    return (f"{inner}.{name}" if inner else name), inner


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"{where}: {name!r} is no Avro name (letters, digits and _, not starting with a digit)")
    return name


def _strings(value: object, where: str, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SchemaError(f"{where}: {what} must be a list of names, not {value!r}")
    return tuple(value)


def from_json(type_: Type, value: object, where: str) -> Any:
    """The Python value of a default, which JSON states in its own way (bytes as text of code points 0-255)."""
    match type_, value:
        case Primitive("null"), None:
            return None
        case Primitive("boolean"), bool():
            return value
        case Primitive("int" | "long" as width), int() if not isinstance(value, bool):
            if abs(value) < (1 << (31 if width == "int" else 63)):
                return value
        case Primitive("float" | "double"), int() | float() if not isinstance(value, bool):
            return float(value)
        case Primitive("string"), str():
            return value
        case Primitive("bytes"), str() if all(ord(character) < 256 for character in value):
            return value.encode("latin-1")
        case Fixed(_, size), str() if len(value) == size and all(ord(character) < 256 for character in value):
            return value.encode("latin-1")
        case Enum(_, symbols), str() if value in symbols:
            return value
        case Array(items), list():
            return [from_json(items, item, where) for item in value]
        case Map(values), dict():
            return {key: from_json(values, item, where) for key, item in value.items()}
        case Union(branches), _:
            return from_json(branches[0], value, where)
        case Record(_, fields), dict():
            return {field.name: _field_default(field, value, where) for field in fields}
        case _:
            pass
    raise SchemaError(f"{where}: the default {value!r} is not a {describe(type_)}")


def _field_default(field: Field, value: Mapping[str, Any], where: str) -> Any:
    if field.name in value:
        return from_json(field.type, value[field.name], f"{where}.{field.name}")
    if field.default is MISSING:
        raise SchemaError(f"{where}: the default lacks the field {field.name}")
    return field.default
