"""The topics Penstock stands on, read from schemas/topics: one file per topic, the only place that says what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import PermanentError
from penstock.schema.files import schemas_folder

NEVER = -1
"""A retention that never ends, as Kafka states it."""
_DAY_MS = 24 * 60 * 60 * 1000
_CHOICES = {
    "cleanup": ("delete", "compact"),
    "timestamp_type": ("CreateTime", "LogAppendTime"),
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "description": str,
    "record": (str, type(None)),
    "key": str,
    "keyed": bool,
    "partitions": int,
    "written_by": list,
    "read_by": list,
    "cleanup": str,
    "retention": str,
    "max_message_bytes": int,
    "timestamp_type": str,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. Its partition count may never change where it is `keyed`: keys would move to other partitions."""

    name: str
    description: str
    record: str | None
    """The record under schemas/avro that its values are; None where they are not Avro."""
    key: str
    keyed: bool
    partitions: int
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    """Services whose group `penstock.<service>` consumes it."""
    cleanup: str
    retention_ms: int
    max_message_bytes: int
    """Of a record batch, headers included: what the broker measures."""
    timestamp_type: str
    configs: Mapping[str, str]
    """Further settings, by their Kafka name."""

    @property
    def subject(self) -> str | None:
        """Where its values' schema is registered."""
        return f"{self.name}-value" if self.record else None

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group_of(service) for service in self.read_by)

    def kafka_configs(self, replication: int) -> dict[str, str]:
        """Every setting that `topics apply` holds the topic to, for this many replicas."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamp_type,
            # As the producers compressed it: the broker does not do the work again.
            "compression.type": "producer",
            # With three replicas a write is in two before it is acked; with fewer, one may be away.
            "min.insync.replicas": str(max(1, replication - 1)),
            **self.configs,
        }


@dataclass(frozen=True, slots=True)
class Catalogue:
    topics: tuple[Topic, ...]
    """Sorted by name."""

    def topic(self, name: str) -> Topic:
        """Raises PermanentError for a topic that is not in the catalogue."""
        for topic in self.topics:
            if topic.name == name:
                return topic
        known = ", ".join(topic.name for topic in self.topics)
        raise PermanentError(f"there is no topic {name!r} in the catalogue; there are {known}")

    def inputs(self, service: str) -> tuple[Topic, ...]:
        """What a service's group consumes."""
        return tuple(topic for topic in self.topics if service in topic.read_by)

    def subjects(self) -> dict[str, str]:
        """Subject to the record that is registered under it."""
        return {topic.subject: topic.record for topic in self.topics if topic.subject and topic.record}


def group_of(service: str) -> str:
    return f"penstock.{service}"


@cache
def load_catalogue(folder: Path | None = None) -> Catalogue:
    """The catalogue in `folder`/topics, by default the one Penstock comes with.

    Raises:
        PermanentError: a file is wrong; the message names it and what is allowed.
    """
    found = sorted(((folder or schemas_folder()) / "topics").glob("*.yaml"))
    return Catalogue(tuple(sorted((_load(path) for path in found), key=lambda topic: topic.name)))


def _load(path: Path) -> Topic:
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PermanentError(f"{path} is not YAML: {error}") from error
    fields = _checked(stated, path)
    configs = {str(key): str(value) for key, value in (fields.pop("configs", None) or {}).items()}
    retention = _retention_ms(fields.pop("retention"), path)
    fields |= {name: tuple(fields[name]) for name in ("written_by", "read_by")}
    return Topic(**fields, retention_ms=retention, configs=configs)


def _checked(stated: object, path: Path) -> dict[str, Any]:
    if not isinstance(stated, dict):
        raise PermanentError(f"{path} must state a topic's fields by name")
    allowed = {*_TYPES, "configs"}
    wrong = [f"unknown field {name!r}" for name in stated if name not in allowed]
    wrong += [f"{name} is missing" for name in _TYPES if name not in stated]
    for name, type_ in _TYPES.items():
        value = stated.get(name)
        below_one = isinstance(value, int) and type_ is int and (value is True or value < 1)
        if name in stated and (below_one or not isinstance(value, type_)):
            wrong.append(f"{name} is {stated[name]!r}")
    for name, allowed_values in _CHOICES.items():
        if stated.get(name) not in allowed_values:
            wrong.append(f"{name} must be one of {', '.join(allowed_values)}")
    if stated.get("name") != path.stem:
        wrong.append(f"its name must be that of the file, {path.stem}")
    if wrong:
        raise PermanentError(f"{path}: {'; '.join(wrong)}")
    return dict(stated)


def _retention_ms(text: str, path: Path) -> int:
    if text == "never":
        return NEVER
    if text.endswith("d") and text[:-1].isdecimal():
        return int(text[:-1]) * _DAY_MS
    raise PermanentError(f"{path}: retention must be days such as 7d, or never; not {text!r}")
