"""How dead letters are shown, and the commands around them that need no Kafka."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from penstock.cli import main as cli
from penstock.cli.dead_letter import as_json, as_text
from penstock.cli.ledger import judged_sinks
from penstock.ledger.audit import Command, Done
from penstock.ledger.identity import Place
from penstock.ledger.letters import DeadLetter

HOSTILE = "\x1b]0;owned\x07\u202egnp.exe\n[red]"
LETTER = DeadLetter(
    stage="enrich",
    dlq_topic="dlq.enrich",
    dlq_partition=0,
    dlq_offset=12,
    topic="events.unique",
    origin=Place("AAAAAAAAAAAAAAAAAAAAAQ", 3, 99),
    timestamp_ms=1_000,
    key=b"\x01\x02",
    value=HOSTILE.encode(),
    value_size=None,
    headers=(("uid", b"\xff" * 16), ("source", b"github"), ("x\x1b", None)),
    category="data",
    reason="bad-magic",
    detail=HOSTILE,
    field=HOSTILE,
    attempts=1,
    uid=b"\xff" * 16,
    source=HOSTILE,
    failed_at_ms=2_000,
)


def test_hostile_text_never_reaches_the_terminal_as_it_is() -> None:
    shown = as_text(LETTER, {"text": HOSTILE, HOSTILE: b"\x1b"})
    assert all(line.isprintable() for line in shown.splitlines())
    assert "\\x1b]0;owned" in shown


def test_a_letter_is_shown_with_its_name_its_original_and_its_bytes() -> None:
    shown = as_text(LETTER, None)
    assert shown.splitlines()[0] == "enrich/0/12"
    assert "events.unique[3]@99, ingested 1970-01-01T00:00:01.000Z" in shown
    assert "00000000  1b 5d 30 3b 6f" in shown
    assert "header      uid: ffff" in shown
    assert "header      source: github" in shown


def test_a_letter_that_was_settled_says_when_and_by_whom() -> None:
    done = Done(Command.RETRY, HOSTILE, 3_000)
    assert "settled     retry, 1970-01-01T00:00:03.000Z, by \\x1b]0;owned" in as_text(LETTER, None, done)
    assert as_json(LETTER, settled=done)["settled"] == {
        "command": "retry", "who": HOSTILE, "at": "1970-01-01T00:00:03.000Z"
    }  # fmt: skip
    assert as_json(LETTER)["settled"] is None


def test_a_tombstone_is_shown_as_one() -> None:
    assert "none: a tombstone" in as_text(replace(LETTER, value=None), None)


def test_a_long_value_is_cut_and_says_so() -> None:
    shown = as_text(replace(LETTER, value=b"x" * 10_000), None)
    assert "10,000 bytes" in shown
    assert "9,488 more bytes" in shown
    assert len(shown) < 5_000


def test_a_value_that_was_cut_when_it_died_says_how_long_it_was() -> None:
    assert "5,000,000 bytes, of which 9 were kept" in as_text(
        replace(LETTER, value=b"beginning", value_size=5_000_000), None
    )


def test_json_has_all_bytes_as_hex() -> None:
    fields = json.loads(json.dumps(as_json(LETTER, decoded={"uid": b"\x01"}, whole=True)))
    assert bytes.fromhex(fields["value"]) == LETTER.value
    assert fields["decoded"] == {"uid": "01"}
    assert fields["headers"][2] == {"key": "x\x1b", "value": None}
    assert "value" not in as_json(LETTER)


@pytest.mark.parametrize("name", ["12", "nowhere/0/12", "enrich/12", "enrich/0/x", "enrich/0/1/2"])
@pytest.mark.parametrize("command", ["show", "retry", "purge"])
def test_a_wrong_name_of_a_letter_is_wrong_usage(command: str, name: str) -> None:
    done = CliRunner().invoke(cli.main, ["dlq", command, name])
    assert done.exit_code == 2
    assert "is no letter's name" in done.output


def test_all_sinks_are_judged_unless_some_are_named() -> None:
    assert judged_sinks({}) == ("postgres", "parquet")
    assert judged_sinks({"PENSTOCK_SINKS": "s3"}) == ("parquet",)
    assert judged_sinks({"PENSTOCK_SINKS": "postgres, s3"}) == ("postgres", "parquet")


def test_a_sink_that_does_not_exist_is_wrong_usage() -> None:
    done = CliRunner().invoke(cli.main, ["ledger"], env={"PENSTOCK_SINKS": "mysql"})
    assert done.exit_code == 2
    assert "'mysql'; there are postgres, s3" in done.output


def test_a_manifest_that_is_none_is_named() -> None:
    done = CliRunner().invoke(cli.main, ["ledger", "--expect", __file__])
    assert done.exit_code == 3
    assert "is no manifest of a replay" in done.output
