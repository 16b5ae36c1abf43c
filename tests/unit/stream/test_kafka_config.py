"""Settings of the client that promises rest on."""

import pytest

from penstock.stream import kafka_config
from penstock.stream.kafka_config import ClientSettings, Config

SETTINGS = ClientSettings("localhost:9092", "group", ("in",), "group.0")
PRODUCERS = [kafka_config.producer("localhost:9092", "name"), kafka_config.transactional(SETTINGS)]
READERS = [kafka_config.consumer(SETTINGS), kafka_config.reader("localhost:9092", "name")]
MIB = 2**20


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_write_is_acknowledged_by_all_replicas_and_never_repeated_by_the_client(producer: Config) -> None:
    assert producer["acks"] == "all"
    assert producer["enable.idempotence"] is True


@pytest.mark.parametrize("reader", READERS)
def test_only_what_is_committed_is_read_from_where_we_say(reader: Config) -> None:
    assert reader["isolation.level"] == "read_committed"
    assert reader["auto.offset.reset"] == "error"
    assert reader["enable.auto.commit"] is reader["enable.auto.offset.store"] is False


def test_what_a_client_holds_is_bounded() -> None:
    """What is fetched ahead of a partition, in records and bytes, and what waits to be written (1 GiB by default)."""
    for reader in READERS:
        assert int(str(reader["queued.min.messages"])) <= 10_000
        assert int(str(reader["queued.max.messages.kbytes"])) * 1024 <= 64 * MIB
    for producer in PRODUCERS:
        assert int(str(producer["queue.buffering.max.kbytes"])) * 1024 <= 128 * MIB
