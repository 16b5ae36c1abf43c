"""Can data of one schema be read with another? After Avro 1.12, "Schema Resolution".

Stricter than the specification in one place: a writer's union must resolve in every branch, where the specification
fails only on the records that use the wrong one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from penstock.schema.avro import (
    MISSING,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Primitive,
    Record,
    Type,
    Union,
    describe,
    parse,
)

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def check_history(history: Sequence[Any]) -> list[str]:
    """What is wrong with versions of a JSON schema, oldest first, under BACKWARD_TRANSITIVE: every version must be able
    to read what each earlier one wrote. Empty when all is well.

    Raises:
        SchemaError: one of them is no valid schema.
    """
    parsed = [parse(schema) for schema in history]
    return [
        f"v{new} cannot read what v{old} wrote: {problem}"
        for new in range(2, len(parsed) + 1)
        for old in range(1, new)
        for problem in problems(parsed[new - 1], parsed[old - 1])
    ]


def problems(reader: Type, writer: Type, where: str = "") -> list[str]:
    """Why data of `writer` cannot be read with `reader`, each with the path to it; empty when it can."""
    if isinstance(writer, Union):
        return [problem for branch in writer.branches for problem in problems(reader, branch, where)]
    if isinstance(reader, Union):
        if branch_for(writer, reader) is not None:
            return []
        near = [branch for branch in reader.branches if _near(branch, writer)]
        return problems(near[0], writer, where) if near else [_mismatch(reader, writer, where)]
    if isinstance(reader, Named) and isinstance(writer, Named) and not _named_alike(reader, writer):
        return [f"{_at(where)}the name {reader.name} does not match {writer.name}"]
    match reader, writer:
        case Primitive(), Primitive():
            if reader == writer or promotes(writer.name, reader.name):
                return []
        case Array(), Array():
            return problems(reader.items, writer.items, f"{where}[]")
        case Map(), Map():
            return problems(reader.values, writer.values, f"{where}{{}}")
        case Fixed(), Fixed():
            if reader.size == writer.size:
                return []
        case Enum(), Enum():
            missing = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
            if not missing or reader.default is not None:
                return []
            return [f"{_at(where)}enum {reader.name} lacks {', '.join(missing)} and has no default"]
        case Record(), Record():
            return list(_record_problems(reader, writer, where))
        case _:
            pass
    return [_mismatch(reader, writer, where)]


def promotes(writer: str, reader: str) -> bool:
    """Whether a primitive is widened (or string and bytes taken for each other) on reading."""
    return reader in _PROMOTIONS.get(writer, ())


def branch_for(writer: Type, reader: Union) -> Type | None:
    """The branch that reads `writer`: an equal type before one it is promoted to, as all Avro libraries do."""
    fitting = [branch for branch in reader.branches if not problems(branch, writer)]
    exact = (branch for branch in fitting if not isinstance(branch, Primitive) or branch == writer)
    return next(exact, fitting[0] if fitting else None)


def field_in(field: Field, writer: Record) -> Field | None:
    """The writer's field that a reader's field is filled from: by name, else by one of the reader's aliases."""
    named = {written.name: written for written in writer.fields}
    return next((named[name] for name in (field.name, *field.aliases) if name in named), None)


def _record_problems(reader: Record, writer: Record, where: str) -> Iterable[str]:
    for field in reader.fields:
        path = f"{where}.{field.name}" if where else field.name
        written = field_in(field, writer)
        if written is not None:
            yield from problems(field.type, written.type, path)
        elif field.default is MISSING:
            yield f"{_at(path)}added without a default"


def _named_alike(reader: Named, writer: Named) -> bool:
    """Of one kind; unqualified names count, or an alias of the reader."""
    return type(reader) is type(writer) and (
        _short(reader.name) == _short(writer.name) or writer.name in reader.aliases
    )


def _near(branch: Type, writer: Type) -> bool:
    """Whether it is this branch whose problems explain why `writer` fits none."""
    if isinstance(branch, Named) and isinstance(writer, Named):
        return _named_alike(branch, writer)
    return type(branch) is type(writer) and not isinstance(branch, Primitive)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _mismatch(reader: Type, writer: Type, where: str) -> str:
    return f"{_at(where)}{describe(writer)} cannot be read as {describe(reader)}"
