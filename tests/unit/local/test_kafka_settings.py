"""What a broker of the stack is told."""

from dataclasses import replace
from pathlib import Path

from penstock.local.kafka import Kafka
from penstock.local.nodes import port_names
from penstock.local.stack import part_names
from penstock.local.state import new_state
from penstock.stream.kafka_config import ClientSettings


def settings(node: str, nodes: int, tmp_path: Path) -> dict[str, str]:
    state = new_state(tmp_path, nodes)
    names = [name for part in part_names(state) for name in port_names(part)]
    state = replace(state, ports={name: 20_000 + i for i, name in enumerate(names)})
    lines = Kafka(node, tmp_path, tmp_path, state, list)._settings().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_one_node_listens_on_this_machine_alone(tmp_path: Path) -> None:
    found = settings("kafka", 1, tmp_path)
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:20000,CONTROLLER://127.0.0.1:20001"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:20001"
    assert found["auto.create.topics.enable"] == "false"


def test_a_killed_members_partitions_come_back_in_seconds(tmp_path: Path) -> None:
    found = settings("kafka", 1, tmp_path)
    assert found["group.consumer.session.timeout.ms"] == found["group.consumer.min.session.timeout.ms"] == "6000"
    assert found["group.consumer.heartbeat.interval.ms"] == found["group.consumer.min.heartbeat.interval.ms"] == "1500"


def test_three_nodes_keep_three_copies_and_survive_the_loss_of_one(tmp_path: Path) -> None:
    found = settings("kafka-2", 3, tmp_path)
    assert found["node.id"] == "2"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:20001,2@127.0.0.1:20003,3@127.0.0.1:20005"
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert found[f"{topic}.replication.factor"] == "3"
    assert found["min.insync.replicas"] == found["transaction.state.log.min.isr"] == "2"


def test_what_a_killed_node_led_is_led_by_another_before_a_commit_gives_up(tmp_path: Path) -> None:
    session_ms = int(settings("kafka-1", 3, tmp_path)["broker.session.timeout.ms"])
    assert session_ms / 1000 < ClientSettings("", "", (), "").commit_deadline_s
    assert "broker.session.timeout.ms" not in settings("kafka", 1, tmp_path)
