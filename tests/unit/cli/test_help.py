"""Every command that scripts may depend on is there and says what it takes."""

import pytest
from click.testing import CliRunner

from penstock.cli.main import COMMANDS, main

STABLE = {
    "up": [],
    "down": ["--volumes"],
    "status": ["--json"],
    "logs": ["-f", "[PART]"],
    "env": [],
    "topics apply": [],
    "topics list": ["--json"],
    "topics describe": ["NAME", "--json"],
    "schemas register": [],
    "schemas check": ["--json"],
    "run": ["[SERVICE]"],
    "services": ["--json"],
    "publish": ["[FILE]"],
    "consume": ["TOPIC", "-n", "-o", "[start|end]"],
    "ledger": ["--expect", "--timeout", "--json"],
    "dlq list": ["--json"],
    "dlq show": ["--json"],
    "dlq retry": [],
    "dlq purge": [],
    "lake vacuum": [],
    "demo": ["--until-drained"],
}
"""The commands that scripts may rely on, and their options; `replay` is asked below, another process answers it."""


@pytest.mark.parametrize("command", STABLE)
def test_a_command_says_what_it_takes(command: str) -> None:
    done = CliRunner().invoke(main, [*command.split(), "--help"])
    assert done.exit_code == 0, done.output
    assert f" {command} " in done.output.splitlines()[0]
    assert [word for word in STABLE[command] if word not in done.output] == []


def test_replay_says_what_it_takes(capfd: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(main, ["replay", "--help"]).exit_code == 0
    told = capfd.readouterr().out
    assert told.startswith("usage: penstock replay ")
    assert [word for word in ("--source", "--rate", "--duplicate", "--manifest") if word not in told] == []


def test_no_command_is_forgotten_here() -> None:
    assert {command.split()[0] for command in STABLE} | {"replay"} == set(COMMANDS)


def test_the_list_of_commands_has_a_line_about_each() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    _, _, listed = done.output.partition("Commands:\n")
    lines = {line.split()[0]: line.split()[1:] for line in listed.splitlines() if line.startswith("  ")}
    assert [command for command in COMMANDS if not lines.get(command)] == []
