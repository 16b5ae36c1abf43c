"""The catalogue says what is promised of each topic, and a wrong file is named."""

import shutil
from pathlib import Path

import pytest

from penstock.errors import PermanentError
from penstock.schema import files
from penstock.schema.catalogue import NEVER, Catalogue, load_catalogue

DAY_MS = 86_400_000
MIB = 1 << 20
EVENT_LIMIT = MIB
STAGES = ("ingest", "dedup", "enrich", "sentiment", "sink-postgres", "sink-s3")
OTHERS = {"dedup.seen", "ingest.cursors", "dlq.audit"}
CATALOGUE = load_catalogue()


def test_the_catalogue_has_every_topic_of_the_flow() -> None:
    events = {f"events.{name}" for name in ("inbox", "raw", "unique", "enriched", "scored", "duplicates", "late")}
    retried = {f"retry.{stage}" for stage in STAGES if stage not in {"ingest", "dedup"}}
    dead = {f"dlq.{stage}" for stage in STAGES}
    assert {topic.name for topic in CATALOGUE.topics} == events | retried | dead | OTHERS


def test_keyed_topics_have_eight_partitions_and_dead_letters_one() -> None:
    for topic in CATALOGUE.topics:
        assert (topic.keyed, topic.partitions) == ((False, 1) if topic.name.startswith("dlq.") else (True, 8))


def test_sizes_rise_along_the_way_so_that_a_record_can_always_be_wrapped() -> None:
    way = ["inbox", "raw", "unique", "enriched", "scored"]
    sizes = [EVENT_LIMIT, *(CATALOGUE.topic(f"events.{name}").max_message_bytes for name in way)]
    sizes.append(CATALOGUE.topic("retry.sink-s3").max_message_bytes)
    dead = {CATALOGUE.topic(f"dlq.{stage}").max_message_bytes for stage in STAGES}
    assert sizes == sorted(set(sizes))
    assert min(dead) >= 2 * sizes[-1], "a dead letter holds the original's headers twice: inside and as its own"


@pytest.mark.parametrize("stage", ["enrich", "sentiment", "sink-postgres", "sink-s3"])
def test_what_is_retried_fits_the_retry_topic_and_the_stages_output_fits_what_it_makes_of_it(stage: str) -> None:
    inputs = {topic.name: topic for topic in CATALOGUE.inputs(stage)}
    retry = inputs.pop(f"retry.{stage}")
    (first,) = inputs.values()
    outputs = [topic for topic in CATALOGUE.topics if stage in topic.written_by]
    assert retry.record == first.record
    assert retry.partitions == first.partitions
    assert first.max_message_bytes < retry.max_message_bytes
    assert all(output.max_message_bytes > retry.max_message_bytes for output in outputs)


def test_what_dedup_forwards_fits_everywhere_it_goes() -> None:
    raw = CATALOGUE.topic("events.raw")
    for name in ("events.unique", "events.late"):
        topic = CATALOGUE.topic(name)
        assert topic.record == raw.record
        assert topic.max_message_bytes > raw.max_message_bytes


def test_timestamps_are_ours_only_where_our_clocks_write_them() -> None:
    by_the_broker = {topic.name for topic in CATALOGUE.topics if topic.timestamp_type == "LogAppendTime"}
    assert by_the_broker == {"events.inbox", "dlq.audit", *(f"dlq.{stage}" for stage in STAGES)}
    assert CATALOGUE.topic("events.raw").kafka_configs(1)["message.timestamp.after.max.ms"] == "150000"


def test_retention_is_as_designed() -> None:
    days = {topic.name: topic.retention_ms // DAY_MS for topic in CATALOGUE.topics if topic.retention_ms != NEVER}
    month = {"events.duplicates", "events.late", *(f"dlq.{stage}" for stage in STAGES)}
    assert days.pop("dlq.audit") == 365
    assert days == {name: 30 if name in month else 7 for name in days}
    assert {topic.name for topic in CATALOGUE.topics} - days.keys() == OTHERS
    assert CATALOGUE.topic("dedup.seen").cleanup == "delete"
    assert CATALOGUE.topic("ingest.cursors").cleanup == "compact"


def test_every_topic_that_a_service_reads_gives_its_group_a_start() -> None:
    assert {service: {topic.name for topic in CATALOGUE.inputs(service)} for service in STAGES} == {
        "ingest": {"events.inbox", "ingest.cursors"},
        "dedup": {"events.raw"},
        "enrich": {"events.unique", "retry.enrich"},
        "sentiment": {"events.enriched", "retry.sentiment"},
        "sink-postgres": {"events.scored", "retry.sink-postgres"},
        "sink-s3": {"events.scored", "retry.sink-s3"},
    }
    assert CATALOGUE.topic("events.scored").groups == ("penstock.sink-postgres", "penstock.sink-s3")


def test_every_topics_record_has_a_schema() -> None:
    assert set(CATALOGUE.subjects().values()) == set(files.records())
    assert "dedup.seen-value" not in CATALOGUE.subjects()
    assert CATALOGUE.subjects()["events.late-value"] == "event"


@pytest.mark.parametrize(("replication", "expected"), [(1, "1"), (2, "1"), (3, "2")])
def test_a_write_is_in_two_replicas_where_there_are_three(replication: int, expected: str) -> None:
    assert CATALOGUE.topic("events.raw").kafka_configs(replication)["min.insync.replicas"] == expected


def test_a_topic_nobody_knows_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(PermanentError, match=r"no topic 'events\.row'.*events\.raw"):
        CATALOGUE.topic("events.row")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("partitions: 8", "partitions: eight", "partitions is 'eight'"),
        ("partitions: 8", "partitions: 0", "partitions is 0"),
        ("keyed: true", "kyed: true", "unknown field 'kyed'; keyed is missing"),
        ("retention: 7d", "retention: 7 weeks", "days such as 7d"),
        ("cleanup: delete", "cleanup: burn", "cleanup must be one of delete, compact"),
        ("name: events.raw", "name: events.rare", "that of the file, events.raw"),
        ("description: >-", "description: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    shutil.copytree(files.schemas_folder() / "topics", tmp_path / "topics")
    file = tmp_path / "topics" / "events.raw.yaml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(PermanentError, match=message) as caught:
        load_catalogue(tmp_path)
    assert "events.raw.yaml" in str(caught.value)


def test_an_empty_folder_is_an_empty_catalogue(tmp_path: Path) -> None:
    assert load_catalogue(tmp_path) == Catalogue(())
