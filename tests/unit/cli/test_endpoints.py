"""Where a command finds the parts: flag, variable, stack.json, default."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from penstock.cli import main as cli
from penstock.cli.endpoints import Flags, choose, listens, resolve
from penstock.local.state import StateFile, new_state

DATA = Path("/data")
STATE = replace(new_state(DATA), ports={"kafka": 1, "kafka-controller": 2, "registry": 3, "postgres": 4})
VARIABLES = {
    "PENSTOCK_BOOTSTRAP_SERVERS": "variable:1",
    "PENSTOCK_SCHEMA_REGISTRY_URL": "http://variable:2",
    "PENSTOCK_POSTGRES_DSN": "postgresql://variable:3/x",
    "PENSTOCK_OBJECT_STORE_URL": "s3://variable",
    "PENSTOCK_FINGERPRINT_KEY": "aa" * 32,
}


def test_a_flag_wins_over_all() -> None:
    flags = Flags(DATA, "flag:1", "http://flag:2", "postgresql://flag:3/x", "s3://flag")
    found = choose(flags, VARIABLES, STATE, DATA)
    assert (found.bootstrap_servers, found.schema_registry_url) == ("flag:1", "http://flag:2")
    assert (found.postgres_dsn, found.object_store_url) == ("postgresql://flag:3/x", "s3://flag")


def test_a_variable_wins_over_the_stack() -> None:
    assert choose(Flags(), VARIABLES, STATE, DATA).environment() == {**VARIABLES, "PENSTOCK_DATA": "/data"}


def test_the_stack_wins_over_the_defaults_and_an_empty_variable_is_none() -> None:
    found = choose(Flags(), {"PENSTOCK_BOOTSTRAP_SERVERS": ""}, STATE, DATA)
    assert found.bootstrap_servers == "127.0.0.1:1"
    assert found.fingerprint_key == STATE.fingerprint_key


def test_without_all_that_the_usual_ports_are_meant_and_no_secret_is_made_up() -> None:
    found = choose(Flags(), {}, None, DATA)
    assert found.bootstrap_servers == "127.0.0.1:9092"
    assert found.fingerprint_key is None


NEEDY = (
    ["topics", "list"],
    ["topics", "apply"],
    ["schemas", "register"],
    ["schemas", "check"],
    ["run"],
    ["services"],
    ["replay", "file", "--source", "github"],
    ["publish", "-"],
    ["consume", "events.raw"],
    ["ledger"],
    ["dlq", "list"],
    ["lake", "vacuum"],
)


@pytest.fixture
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of somebody's shell, and nothing at the usual ports of this machine."""
    for name in list(os.environ):
        if name.startswith("PENSTOCK_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("penstock.cli.endpoints.listens", lambda _address: False)


@pytest.mark.usefixtures("nothing_named")
@pytest.mark.parametrize("words", NEEDY, ids=" ".join)
def test_without_a_stack_a_command_that_needs_one_says_how_to_start_it(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(cli.main, ["--data", str(tmp_path / "none"), *words])
    assert (done.exit_code, done.output) == (
        3,
        f"Error: no stack in {tmp_path / 'none'}; `penstock up` starts one"
        " (servers of your own: --bootstrap-servers and the like)\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nothing_named")
def test_servers_that_are_named_or_there_need_no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "show", f"{__name__}:show")
    words = ["--data", str(tmp_path), "show"]
    assert CliRunner().invoke(cli.main, [*words, "--bootstrap-servers", "mine:1"]).output == f"mine:1 {tmp_path}\n"
    assert CliRunner().invoke(cli.main, words, env={"PENSTOCK_BOOTSTRAP_SERVERS": "mine:2"}).exit_code == 0
    monkeypatch.setattr("penstock.cli.endpoints.listens", lambda address: address[1] == 9092)
    assert CliRunner().invoke(cli.main, words).output == f"127.0.0.1:9092 {tmp_path}\n"


def test_a_port_listens_or_does_not() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert not listens(server.getsockname())
        server.listen()
        assert listens(server.getsockname())


@pytest.mark.parametrize("words", [["run"], ["topics", "list"], ["schemas", "register"]], ids=" ".join)
def test_what_does_not_answer_is_told_with_the_way_out(tmp_path: Path, words: list[str]) -> None:
    there = {"PENSTOCK_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PENSTOCK_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}
    done = CliRunner().invoke(cli.main, ["--data", str(tmp_path), *words], env=there)
    assert done.exit_code == 3
    assert "127.0.0.1:1 does not answer" in done.output
    assert done.output.endswith("(is everything up? `penstock status` says, `penstock up` starts what is not)\n")


@pytest.mark.parametrize(
    "words",
    [["--data", "HERE", "show"], ["show", "--data", "HERE"], ["show", "--data=HERE"], ["--data=HERE", "show"]],
)
def test_a_global_option_may_stand_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    StateFile(tmp_path).write(STATE)
    monkeypatch.delenv("PENSTOCK_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setitem(cli.COMMANDS, "show", f"{__name__}:show")
    done = CliRunner().invoke(cli.main, [word.replace("HERE", str(tmp_path)) for word in words])
    assert done.output == f"127.0.0.1:1 {tmp_path}\n"


@click.command()
@click.pass_context
def show(ctx: click.Context) -> None:
    found = resolve(ctx)
    click.echo(f"{found.bootstrap_servers} {found.data}")
