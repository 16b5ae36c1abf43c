"""Does a cluster answer, and can it run a transaction?"""

import contextlib
import logging

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from penstock.errors import TransientError

_silent = logging.getLogger(f"{__name__}.librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def require_metadata(bootstrap_servers: str, timeout_s: float, brokers: int = 1) -> None:
    """Raises TransientError unless `brokers` brokers are listed within the time."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **_QUICK}, logger=_silent)
    try:
        found = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise TransientError(f"{bootstrap_servers} does not answer: {error.args[0].str()}") from error
    if len(found.brokers) < brokers:
        raise TransientError(f"{len(found.brokers)} of {brokers} brokers are there")


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
