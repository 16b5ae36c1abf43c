"""Records as JSON, for people, programs and the examples in schemas/: bytes are hex, times stay int milliseconds."""

import json
import math
from typing import Any

from penstock.errors import DataError
from penstock.schema.avro import Array, Fixed, Map, Primitive, Record, Type, Union

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any) -> Any:
    """What `json.dumps` takes: bytes as hex, NaN and the infinities as text, since JSON has none of them."""
    match value:
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return next(name for name, number in _NOT_FINITE.items() if number == value or value != value)
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _:
            return value


def from_json(type_: Type, value: Any) -> Any:
    """The inverse of `to_json`, for a value of this type; what does not fit is left for the encoder to refuse.

    Raises:
        DataError: `invalid-record`, for bytes that are not hex.
    """
    match type_, value:
        case ((Primitive("bytes") | Fixed()), str()):
            try:
                return bytes.fromhex(value)
            except ValueError as error:
                raise DataError("invalid-record", f"bytes must be hex: {error}") from error
        case Primitive("float" | "double"), str():
            return _NOT_FINITE.get(value, value)
        case Record(_, fields), dict():
            types = {field.name: field.type for field in fields}
            return {name: from_json(types[name], item) if name in types else item for name, item in value.items()}
        case Array(items), list():
            return [from_json(items, item) for item in value]
        case Map(values), dict():
            return {key: from_json(values, item) for key, item in value.items()}
        case Union(branches), _ if value is not None:
            return from_json(next(branch for branch in branches if branch != Primitive("null")), value)
        case _:
            return value


def line_of(value: Any) -> str:
    """One line of JSON that is safe to show: whatever does not print (terminal commands, characters that turn the
    direction of text) is escaped; what does is left readable.
    """
    text = json.dumps(to_json(value), ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
