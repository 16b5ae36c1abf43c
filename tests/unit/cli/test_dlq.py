"""What the commands that settle dead letters ask for and say, as far as that needs no Kafka."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from penstock.cli import main as cli
from penstock.cli.dlq_actions import runs_of
from penstock.cli.dlq_filters import as_typed
from penstock.cli.dlq_settle import lines, who
from penstock.dlq.settlement import Order
from penstock.dlq.summary import Summary
from penstock.dlq.way_back import Refusal
from penstock.ledger.audit import Command
from penstock.ledger.dead import Wanted
from penstock.stream.port import TopicPartition
from tests.unit.cli.test_dead_letter import HOSTILE, LETTER
from tests.unit.ledger.test_audit import ACTION, NAMELESS, SETTLED


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_without_a_terminal_to_ask_at_it_wants_to_be_told(command: str) -> None:
    done = CliRunner().invoke(cli.main, ["dlq", command, "--stage", "enrich"])
    assert done.exit_code == 2
    assert "give --yes to do it, or --dry-run" in done.output


def test_letters_of_dedup_can_only_be_purged() -> None:
    done = CliRunner().invoke(cli.main, ["dlq", "retry", "--stage", "dedup", "--yes"])
    assert done.exit_code == 2
    assert "dedup's dead letters can only be purged" in done.output


def test_what_chose_the_letters_is_written_down_as_one_could_type_it_again() -> None:
    wanted = Wanted(["enrich"], ["bad-magic"], ["data"], ["github"], 0, 1_000, ["enrich/0/2", "enrich/0/1"])
    assert as_typed(wanted) == (
        "--stage enrich --reason bad-magic --category data --source github --since 1970-01-01T00:00:00.000Z"
        " --until 1970-01-01T00:00:01.000Z enrich/0/1 enrich/0/2"
    )
    assert as_typed(Wanted()) == ""
    assert as_typed(Wanted(ids=[f"enrich/0/{n}" for n in range(13)])).endswith("and 3 more")


def test_the_audit_has_a_line_for_each_stage_of_a_run() -> None:
    other = replace(ACTION, stage="sentiment")
    more = replace(ACTION, letters=(replace(SETTLED, offset=40),))
    enrich, sentiment = runs_of([ACTION, other, more])
    assert (enrich.stage, enrich.letters) == ("enrich", ["enrich/0/12", "enrich/0/13", "enrich/0/40"])
    assert enrich.tallies["github"] == ACTION.tallies["github"] + more.tallies["github"]
    assert sentiment.tallies == ACTION.tallies
    fields = json.loads(json.dumps(enrich.as_json()))
    assert (fields["command"], fields["count"], fields["sources"]["github"]["count"]) == ("purge", 3, 2)
    assert int(fields["sources"]["github"]["hash_sum"], 16) == enrich.tallies["github"].hash_sum


def test_the_summary_tells_what_was_done_what_was_not_and_why() -> None:
    summary = Summary(before=2, unreadable=1, deleted={TopicPartition("dlq.enrich", 0): 44})
    summary.settle("enrich", [replace(SETTLED, source=HOSTILE), NAMELESS])
    for offset in range(12):
        summary.refuse(replace(LETTER, dlq_offset=offset), Refusal("cut", HOSTILE))
    told = list(lines(Order(Command.RETRY, Wanted(), "me", "run", ""), summary, ""))
    assert all(line.isprintable() for line in told)
    assert told[0] == "2 dead letters sent back"
    assert told[1].endswith("unknown 1")
    assert told[2].startswith("12 refused, cut: enrich/0/0, enrich/0/1, ")
    assert told[2].endswith("enrich/0/9, ...")
    assert told[4:] == [
        "2 were sent back or thrown away before",
        "1 cannot be read and stay: something else than Penstock wrote them",
        "dlq.enrich: the bytes of all letters before 0/44 are deleted",
    ]
    assert summary.as_json()["settled"] == {"enrich": {HOSTILE: 1, "unknown": 1}}
    assert summary.as_json()["refused"]["cut"]["count"] == 12
    assert summary.settled["enrich"]["unknown"] == ACTION.tallies["unknown"]


def test_who_ran_it_is_a_user_and_a_host() -> None:
    user, _, host = who().partition("@")
    assert user
    assert host
