"""A dedup that lets everything through, or nothing, balances in itself; the manifest of the replay gives it away."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from penstock.errors import PermanentError
from penstock.ledger.accounts import judge
from penstock.ledger.expectation import Expectation, compare, read_expectation
from penstock.ledger.tally import Tally

SENT = Expectation("github.json", "github", sent=115, unique=100)


def counted(raw: int, unique: int, duplicate: int) -> dict[str, dict[str, Tally]]:
    return {"github": {"raw": Tally(raw), "unique": Tally(unique), "duplicate": Tally(duplicate)}}


def test_what_the_manifest_says_was_sent_compares_equal() -> None:
    assert compare(counted(115, 100, 15), [SENT]) == []


def test_a_dedup_that_lets_everything_through_is_given_away() -> None:
    problems = compare(counted(115, 115, 0), [SENT])
    assert [(problem.equation, problem.difference) for problem in problems] == [
        ("unique = unique by the manifest", 15),
        ("duplicate = sent - unique by the manifest", -15),
    ]


def test_a_dedup_that_lets_nothing_through_is_given_away() -> None:
    books = counted(115, 0, 115)
    assert judge(books, ()) == []
    assert [problem.difference for problem in compare(books, [SENT])] == [-100, 100]


def test_an_event_lost_before_the_raw_topic_is_seen() -> None:
    problem, *_ = compare(counted(114, 100, 14), [SENT])
    assert problem.equation == "raw = sent"
    assert "114 counted, 115 by github.json" in problem.detail


def test_a_source_of_which_nothing_arrived_is_seen() -> None:
    assert compare({}, [SENT])[0].difference == -115


def test_several_manifests_of_one_source_add_up() -> None:
    other = Expectation("more.json", "github", sent=10, unique=10)
    assert compare(counted(125, 110, 15), [SENT, other]) == []


def test_a_replay_that_did_not_end_does_not_balance() -> None:
    cut_short = replace(SENT, complete=False)
    assert [problem.equation for problem in compare(counted(115, 100, 15), [cut_short])] == ["the replay ended"]


def test_a_replay_that_was_killed_and_repeated_may_have_sent_more_but_nothing_new() -> None:
    again = replace(SENT, repeated=True)
    assert compare(counted(140, 100, 40), [again]) == []
    assert [problem.equation for problem in compare(counted(114, 101, 13), [again])] == [
        "raw >= sent",
        "unique = unique by the manifest",
        "duplicate >= sent - unique by the manifest",
    ]


def test_a_manifest_as_a_replay_writes_it_is_read(tmp_path: Path) -> None:
    written = {
        "manifest": 1,
        "source": "github",
        "files": ["2015-01-01-0.json.gz"],
        "lines": 101,
        "skipped": {"no-id": 1},
        "sent": 115,
        "planted": 15,
        "unique": 100,
        "duplicates": 15,
        "complete": True,
        "repeated": False,
    }
    path = tmp_path / "github.json"
    path.write_bytes(orjson.dumps(written))
    assert read_expectation(path) == Expectation(
        str(path), "github", sent=115, unique=100, lines=101, skipped={"no-id": 1}, planted=15
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifest": 2}', '{"manifest": 1, "source": "github"}', "{"])
def test_a_file_that_is_no_manifest_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(PermanentError, match=r"other\.json"):
        read_expectation(path)
