"""Records as JSON and back, and lines that are safe on a terminal."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.schema import files
from penstock.schema.avro import parse, parse_record
from penstock.schema.json_form import from_json, line_of, to_json


def test_bytes_are_hex_and_come_back() -> None:
    letter = parse_record(files.latest("dead_letter"))
    record = {"value": b"\x00\xff", "headers": [{"key": "uid", "value": b"\x01"}, {"key": "none", "value": None}]}
    assert to_json(record)["value"] == "00ff"
    assert from_json(letter, to_json(record)) == record


def test_bytes_that_are_not_hex_are_a_data_error() -> None:
    with pytest.raises(DataError, match="hex"):
        from_json(parse("bytes"), "***")


@pytest.mark.parametrize("number", [math.inf, -math.inf, 1.5])
def test_numbers_that_json_lacks_are_text(number: float) -> None:
    measures = parse({"type": "map", "values": "double"})
    line = line_of({"x": number})
    assert from_json(measures, json.loads(line, parse_constant=pytest.fail)) == {"x": number}


def test_nan_is_text_too() -> None:
    assert line_of([math.nan]) == '["NaN"]'
    assert math.isnan(from_json(parse("double"), "NaN"))


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b2J", "\x7f", "\u202e", "\u2066", "\r", "\u2028", "\U000e0041"])
def test_what_could_command_a_terminal_is_escaped(hostile: str) -> None:
    line = line_of({"text": f"a{hostile}b"})
    assert line.isprintable()
    assert json.loads(line) == {"text": f"a{hostile}b"}


def test_text_of_any_script_stays_readable() -> None:
    assert line_of({"text": "Привет, 世界 é 🎉"}) == '{"text": "Привет, 世界 é 🎉"}'


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_a_line_is_one_printable_line_of_the_same_json(record: dict[str, Any]) -> None:
    line = line_of(record)
    assert line.isprintable()
    assert json.loads(line) == record
