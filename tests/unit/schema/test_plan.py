"""What `topics apply` decides, without a cluster."""

from dataclasses import replace

from penstock.schema.catalogue import Catalogue, Topic, load_catalogue
from penstock.schema.plan import Existing, plan, starts

CATALOGUE = load_catalogue()
RAW = CATALOGUE.topic("events.raw")


def as_planned(topic: Topic, partitions: int | None = None, **changed: str) -> Existing:
    configs = topic.kafka_configs(1) | {name.replace("_", "."): value for name, value in changed.items()}
    return Existing(partitions or topic.partitions, 1, configs)


def test_an_empty_cluster_gets_everything() -> None:
    made = plan(CATALOGUE, {}, brokers=1)
    assert [creation.topic for creation in made.create] == list(CATALOGUE.topics)
    assert {creation.replication for creation in made.create} == {1}
    assert not made.problems


def test_three_replicas_are_the_most() -> None:
    assert {creation.replication for creation in plan(CATALOGUE, {}, brokers=5).create} == {3}
    assert {creation.configs["min.insync.replicas"] for creation in plan(CATALOGUE, {}, brokers=5).create} == {"2"}


def test_what_exists_keeps_the_replicas_it_has() -> None:
    one_copy = {topic.name: as_planned(topic) for topic in CATALOGUE.topics}
    assert plan(CATALOGUE, one_copy, brokers=3).alter == {}, "two in sync, with one replica, would refuse every write"
    three = Existing(RAW.partitions, 3, RAW.kafka_configs(3))
    assert plan(Catalogue((RAW,)), {RAW.name: three}, brokers=2).alter == {}


def test_a_write_is_never_in_fewer_replicas_than_somebody_wanted() -> None:
    def altered(in_sync: int) -> dict[str, dict[str, str]]:
        held = Existing(RAW.partitions, 3, RAW.kafka_configs(3) | {"min.insync.replicas": str(in_sync)})
        return plan(Catalogue((RAW,)), {RAW.name: held}, brokers=3).alter

    assert altered(3) == altered(2) == {}
    assert altered(1) == altered(4) == {"events.raw": {"min.insync.replicas": "2"}}


def test_nothing_is_planned_where_all_is_as_it_should_be() -> None:
    made = plan(CATALOGUE, {topic.name: as_planned(topic) for topic in CATALOGUE.topics}, brokers=1)
    assert (made.create, made.grow, made.alter, made.problems) == ([], {}, {}, [])


def test_only_what_differs_is_set() -> None:
    made = plan(CATALOGUE, {RAW.name: as_planned(RAW, retention_ms="1000")}, brokers=1)
    assert made.alter == {"events.raw": {"retention.ms": str(RAW.retention_ms)}}


def test_the_partition_count_of_a_keyed_topic_is_never_changed() -> None:
    for existing, asked in ((3, 8), (8, 3)):
        made = plan(CATALOGUE, {RAW.name: as_planned(RAW, existing)}, brokers=1, partitions=asked)
        (problem,) = made.problems
        assert f"events.raw: {existing} partitions each, and {asked} are asked for: refused" in problem
        assert made.grow == {}


def test_a_changed_catalogue_does_not_change_the_partitions_of_what_exists() -> None:
    wider = Catalogue(tuple(replace(topic, partitions=16) if topic.keyed else topic for topic in CATALOGUE.topics))
    made = plan(wider, {RAW.name: as_planned(RAW, 8)}, brokers=1)
    assert len(made.problems) == 1
    assert {creation.partitions for creation in made.create if creation.topic.keyed} == {8}, "one count for all"


def test_only_keyed_topics_take_another_number_of_partitions() -> None:
    made = plan(CATALOGUE, {}, brokers=1, partitions=3)
    assert {creation.partitions for creation in made.create if creation.topic.keyed} == {3}
    assert {creation.partitions for creation in made.create if not creation.topic.keyed} == {1}


def test_a_topic_without_keys_may_grow_but_never_shrinks() -> None:
    dead = replace(CATALOGUE.topic("dlq.enrich"), partitions=2)
    catalogue = Catalogue((dead,))
    assert plan(catalogue, {dead.name: as_planned(dead, 1)}, brokers=1).grow == {"dlq.enrich": 2}
    assert plan(catalogue, {dead.name: as_planned(dead, 4)}, brokers=1).grow == {}


def test_every_group_starts_every_partition_it_reads() -> None:
    found = starts(CATALOGUE.topics, {topic.name: 2 for topic in CATALOGUE.topics})
    assert sorted(found["penstock.enrich"]) == [
        ("events.unique", 0), ("events.unique", 1), ("retry.enrich", 0), ("retry.enrich", 1)]  # fmt: skip
    assert set(found) == {f"penstock.{name}" for name in
                          ("ingest", "dedup", "enrich", "sentiment", "sink-postgres", "sink-s3")}  # fmt: skip
