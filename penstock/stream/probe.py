"""Does a cluster answer, and can it run a transaction?"""

import contextlib
import logging

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from penstock.errors import TransientError

_silent = logging.getLogger(f"{__name__}.librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def require_metadata(bootstrap_servers: str, timeout_s: float) -> None:
    """Raises TransientError unless a broker answers within the time."""
    _metadata(bootstrap_servers, timeout_s)


def require_in_sync(bootstrap_servers: str, timeout_s: float, brokers: int) -> None:
    """Raises TransientError unless, as the broker that answers sees it, there are `brokers` of them and every
    partition has a leader and all its replicas in sync."""
    found = _metadata(bootstrap_servers, timeout_s)
    if len(found.brokers) < brokers:
        raise TransientError(f"{len(found.brokers)} of {brokers} brokers are there")
    partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
    behind = sum(one.leader < 0 or len(one.isrs) < len(one.replicas) for one in partitions)
    if behind:
        raise TransientError(f"{behind} of {len(partitions)} partitions have no leader or a replica out of sync")


def _metadata(bootstrap_servers: str, timeout_s: float) -> ClusterMetadata:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **_QUICK}, logger=_silent)
    try:
        return admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise TransientError(f"{bootstrap_servers} does not answer: {error.args[0].str()}") from error


def require_transactions(bootstrap_servers: str, transactional_id: str, timeout_s: float) -> None:
    """Raises TransientError unless a transaction coordinator gives out a producer id within the time."""
    producer = Producer(
        {"bootstrap.servers": bootstrap_servers, "transactional.id": transactional_id, **_QUICK}, logger=_silent
    )
    try:
        producer.init_transactions(timeout_s)
    except KafkaException as error:
        raise TransientError(f"no transaction coordinator answers: {error.args[0].str()}") from error
    finally:
        with contextlib.suppress(KafkaException):
            producer.purge()


_QUICK = {"reconnect.backoff.max.ms": 100, "socket.connection.setup.timeout.ms": 1000, "log_level": 0}
