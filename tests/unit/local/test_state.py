"""stack.json is private, whole, and read back as it was written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.local.errors import StackError
from penstock.local.process import Running
from penstock.local.state import StateFile, kafka_parts, new_state

PORTS = {"kafka": 1, "kafka-controller": 2, "registry": 3, "postgres": 4}


def test_what_is_written_is_read_back_and_nobody_else_may(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    assert file.read() is None
    state = replace(new_state(tmp_path), ports=PORTS).with_running("kafka", Running(7, "then"))
    file.write(state)
    assert file.read() == state
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_programs_find_the_endpoints_in_it(tmp_path: Path) -> None:
    state = replace(new_state(tmp_path), ports=PORTS, postgres_password="secret")
    StateFile(tmp_path).write(state)
    raw = json.loads((tmp_path / "stack.json").read_text())
    assert raw["bootstrap_servers"] == "127.0.0.1:1"
    assert raw["schema_registry_url"] == "http://127.0.0.1:3/apis/ccompat/v7"
    assert raw["postgres_dsn"] == "postgresql://penstock:secret@127.0.0.1:4/penstock"
    assert raw["object_store_url"] == f"file://{tmp_path}/objects"


def test_every_stack_has_secrets_of_its_own(tmp_path: Path) -> None:
    one, other = new_state(tmp_path), new_state(tmp_path)
    assert len(bytes.fromhex(one.fingerprint_key)) == 32
    assert one.fingerprint_key != other.fingerprint_key
    assert one.postgres_password != other.postgres_password
    assert len(one.cluster_id) == 22


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "ports": 3}'])
def test_a_file_that_is_no_state_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackError, match=r"stack\.json is not a stack's description"):
        StateFile(tmp_path).read()


def test_several_brokers_are_several_parts(tmp_path: Path) -> None:
    ports = {f"kafka-{node}": node for node in (1, 2, 3)}
    state = replace(new_state(tmp_path, nodes=3), ports=ports)
    assert kafka_parts(3) == ["kafka-1", "kafka-2", "kafka-3"]
    assert state.bootstrap_servers == "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
