"""`topics apply` on a real Kafka, under names of the test's own."""

import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from penstock.errors import TransientError
from penstock.schema.catalogue import Catalogue, load_catalogue
from penstock.schema.topics import Topics
from tests.conftest import RunningStack

pytestmark = pytest.mark.integration


@pytest.fixture
def catalogue() -> Catalogue:
    """The input, the changelog and the dead letters of dedup, and its group, under fresh names."""
    own = uuid.uuid4().hex[:8]
    topics = [load_catalogue().topic(name) for name in ("events.raw", "dedup.seen", "dlq.dedup")]
    return Catalogue(tuple(
        replace(topic, name=f"{own}.{topic.name}", read_by=tuple(f"{own}-{service}" for service in topic.read_by))
        for topic in topics))  # fmt: skip


def write(stack: RunningStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(topic, b"value", partition=1)
    assert producer.flush(20) == 0


async def test_topics_are_made_as_the_catalogue_says_and_their_groups_start_at_zero(
    stack: RunningStack, catalogue: Catalogue
) -> None:
    there = Topics(stack.bootstrap_servers)
    report = await there.apply(catalogue)
    assert report.problems == []
    assert len([line for line in report.done if line.startswith("created")]) == 3

    brokers, existing = await there.existing(catalogue)
    for topic in catalogue.topics:
        found = existing[topic.name]
        assert (found.partitions, found.replication) == (topic.partitions, min(3, brokers))
        assert found.configs == topic.kafka_configs(found.replication)
    raw = catalogue.topics[0]
    places = [(raw.name, number) for number in range(8)]
    assert await there.committed(raw.groups[0], places) == dict.fromkeys(places, 0)


async def test_applying_twice_changes_nothing(stack: RunningStack, catalogue: Catalogue) -> None:
    await Topics(stack.bootstrap_servers).apply(catalogue, partitions=3)
    again = await Topics(stack.bootstrap_servers).apply(catalogue, partitions=3)
    assert (again.done, again.problems) == ([], [])


async def test_a_setting_that_was_changed_is_set_right_and_nothing_else(
    stack: RunningStack, catalogue: Catalogue
) -> None:
    there = Topics(stack.bootstrap_servers)
    await there.apply(catalogue)
    raw = catalogue.topics[0]
    shorter = Catalogue((replace(raw, retention_ms=60_000),))
    assert (await there.apply(shorter)).done == [f"set {raw.name}: retention.ms=60000"]
    assert (await there.apply(catalogue)).done == [f"set {raw.name}: retention.ms=604800000"]


async def test_the_partitions_of_a_keyed_topic_stay_and_the_refusal_says_why(
    stack: RunningStack, catalogue: Catalogue
) -> None:
    there = Topics(stack.bootstrap_servers)
    await there.apply(catalogue, partitions=3)
    (problem,) = (await there.apply(catalogue, partitions=4)).problems
    assert "keys would move to other partitions" in problem
    _, existing = await there.existing(catalogue)
    assert existing[catalogue.topics[0].name].partitions == 3


async def test_a_groups_offsets_are_left_alone(stack: RunningStack, catalogue: Catalogue) -> None:
    there = Topics(stack.bootstrap_servers)
    await there.apply(catalogue, partitions=3)
    raw = catalogue.topics[0]
    write(stack, raw.name)
    await there.commit(raw.groups[0], {(raw.name, 1): 1})
    again = await Topics(stack.bootstrap_servers).apply(catalogue, partitions=3, from_start=raw.groups)
    assert (again.done, again.problems) == ([], [])
    assert await there.committed(raw.groups[0], [(raw.name, 1)]) == {(raw.name, 1): 1}


async def test_a_group_without_an_offset_starts_a_topic_only_while_that_is_empty(
    stack: RunningStack, catalogue: Catalogue
) -> None:
    there, raw = Topics(stack.bootstrap_servers), catalogue.topics[0]
    await there.apply(catalogue, partitions=3)
    later = Catalogue((replace(raw, read_by=(f"{raw.read_by[0]}-later",)),))
    write(stack, raw.name)

    (problem,) = (await there.apply(later, partitions=3)).problems
    (group,) = later.topics[0].groups
    assert f"{group} has no offset for {raw.name}[1], which holds records already" in problem
    assert f"penstock topics apply --from-start {group}" in problem
    offsets = await there.committed(group, [(raw.name, number) for number in range(3)])
    assert list(offsets.values()) == [0, None, 0]

    assert (await there.apply(later, partitions=3, from_start=[group])).problems == []
    assert await there.committed(group, [(raw.name, 1)]) == {(raw.name, 1): 0}


async def test_what_an_interrupted_apply_left_out_is_done_by_the_next(
    stack: RunningStack, catalogue: Catalogue
) -> None:
    topics_only = Catalogue(tuple(replace(topic, read_by=()) for topic in catalogue.topics))
    await Topics(stack.bootstrap_servers).apply(topics_only, partitions=3)
    report = await Topics(stack.bootstrap_servers).apply(catalogue, partitions=3)
    raw = catalogue.topics[0]
    assert report.done == [f"{raw.groups[0]} starts {raw.name} at its beginning"]
    assert report.problems == []


async def test_brokers_that_are_away_are_a_transient_error_that_names_them() -> None:
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1 does not answer"):
        await Topics("127.0.0.1:1", patience_s=0.5).apply(load_catalogue())


@pytest.fixture(autouse=True)
def remove(stack: RunningStack, catalogue: Catalogue) -> object:
    yield
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.delete_topics([topic.name for topic in catalogue.topics]).values():
        future.exception()
