"""The command's arguments, and its manifest through kills and restarts."""

import json
from pathlib import Path

import pytest

from services.ingest.replay.command import parse
from services.ingest.replay.manifest import Tally, was_cut_short, write_json


def test_its_arguments() -> None:
    options = parse(["a", "b*", "--source", "github", "--rate", "200/s", "--duplicate", "0.15", "--manifest", "m"])
    assert (options.files, options.source, options.rate_per_s, options.duplicate) == (("a", "b*"), "github", 200, 0.15)
    assert options.manifest == Path("m")
    plain = parse(["a", "--source", "weather"])
    assert (plain.rate_per_s, plain.rounds) == (None, 1)
    assert parse(["a", "--source", "weather", "--rounds", "0"]).rounds == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required"),
        (["a"], "--source"),
        (["a", "--source", "x"], "invalid choice: 'x' (choose from "),
        (["a", "--source", "github", "--rate", "fast"], "'fast' is no rate: a number above 0"),
        (["a", "--source", "github", "--rate", "0"], "'0' is no rate"),
        (["a", "--source", "github", "--rate", "inf"], "'inf' is no rate"),
        (["a", "--source", "github", "--rounds", "-1"], "'-1' is no number of rounds: 1, 2, ..., or 0"),
        (["a", "--source", "github", "--duplicate", "1.5"], "'1.5' is no share: a number from 0 to 1"),
    ],
)
def test_wrong_arguments_are_told_and_end_with_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def manifest(path: Path, *, complete: bool, repeated: bool = False, source: str = "github") -> None:
    tally = Tally(source, lines=10, sent=8, planted=1, unique=7)
    tally.skipped.update({"header": 3})
    write_json(path, tally.manifest([Path("a")], complete=complete, repeated=repeated))


def test_a_manifest_says_what_was_sent(tmp_path: Path) -> None:
    manifest(tmp_path / "m", complete=True)
    assert json.loads((tmp_path / "m").read_text()) == {
        "manifest": 1,
        "source": "github",
        "files": ["a"],
        "lines": 10,
        "skipped": {"header": 3},
        "sent": 8,
        "planted": 1,
        "unique": 7,
        "duplicates": 1,
        "complete": True,
        "repeated": False,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_replay_after_one_that_was_killed_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert not was_cut_short(path, "github")
    manifest(path, complete=False)
    assert was_cut_short(path, "github")
    assert not was_cut_short(path, "weather")
    manifest(path, complete=True, repeated=True)
    assert was_cut_short(path, "github")  # what was sent then is in events.raw for good
    manifest(path, complete=True)
    assert not was_cut_short(path, "github")
    path.write_text("{")
    assert not was_cut_short(path, "github")
