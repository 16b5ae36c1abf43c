"""What has to be done so that a cluster's topics are those of the catalogue: decided here, done in topics.py."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.schema.catalogue import Catalogue, Topic

MAX_REPLICATION = 3
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as the cluster has it; `configs` holds the settings that the catalogue speaks of."""

    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Creation:
    topic: Topic
    partitions: int
    replication: int

    @property
    def configs(self) -> dict[str, str]:
        return self.topic.kafka_configs(self.replication)


@dataclass(slots=True)
class Plan:
    create: list[Creation] = field(default_factory=list)
    grow: dict[str, int] = field(default_factory=dict)
    """Topic without keys that matter to its new partition count."""
    alter: dict[str, dict[str, str]] = field(default_factory=dict)
    """Topic to the settings that differ, with what they should be."""
    problems: list[str] = field(default_factory=list)


def plan(catalogue: Catalogue, existing: Mapping[str, Existing], brokers: int, partitions: int | None = None) -> Plan:
    """
    Args:
        existing: by name; topics outside the catalogue are left alone.
        brokers: how many there are, those included that are away for a while; a new topic has min(3, brokers) replicas.
        partitions: for keyed topics, instead of what the catalogue says.

    A new keyed topic gets as many partitions as the keyed ones that exist, whatever the catalogue says meanwhile: a
    changelog, a retry topic and their input must have the same count. What exists keeps its replicas, and a write is
    never acknowledged by fewer of them than before.
    """
    made = Plan()
    counts = {existing[topic.name].partitions for topic in catalogue.topics if topic.keyed and topic.name in existing}
    refused: dict[tuple[int, int], list[str]] = {}
    common = counts.pop() if len(counts) == 1 else None
    for topic in catalogue.topics:
        wanted = (partitions or topic.partitions) if topic.keyed else topic.partitions
        found = existing.get(topic.name)
        if found is None:
            count = (common or wanted) if topic.keyed else wanted
            made.create.append(Creation(topic, count, min(MAX_REPLICATION, brokers)))
            continue
        if topic.keyed and found.partitions != wanted:
            refused.setdefault((found.partitions, wanted), []).append(topic.name)
        elif found.partitions < wanted:
            made.grow[topic.name] = wanted
        different = differences(found.configs, _at_least(found, topic.kafka_configs(found.replication)))
        if different:
            made.alter[topic.name] = different
    made.problems += [_refusal(names, found, wanted) for (found, wanted), names in refused.items()]
    return made


def _at_least(found: Existing, wanted: Mapping[str, str]) -> dict[str, str]:
    """Somebody who wants a write in more replicas than we do keeps them, if there are so many."""
    held = int(found.configs.get(_IN_SYNC, "0"))
    more = int(wanted[_IN_SYNC]) < held <= found.replication
    return {**wanted, _IN_SYNC: str(held)} if more else dict(wanted)


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def starts(topics: Iterable[Topic], partitions: Mapping[str, int]) -> dict[str, list[tuple[str, int]]]:
    """Group to the (topic, partition) it reads, of topics whose partition count is given."""
    found: dict[str, list[tuple[str, int]]] = {}
    for topic in topics:
        for group in topic.groups:
            found.setdefault(group, []).extend((topic.name, number) for number in range(partitions[topic.name]))
    return found


def _refusal(names: Sequence[str], found: int, wanted: int) -> str:
    return (
        f"{', '.join(names)}: {found} partitions each, and {wanted} are asked for: refused, since keys would move to"
        " other partitions, away from their order and from the state that is kept for them. Keep the"
        f" {found} (PENSTOCK_PARTITIONS={found}), or start with an empty cluster"
    )
