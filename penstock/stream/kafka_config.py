"""How our Kafka clients are set, each value with its reason."""

from dataclasses import dataclass

Config = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What one stage's broker connection needs.

    `transactional_id` must be stable per stage and slot: a restart under the same id ends what its predecessor left
    open. `commit_deadline_s` < `transaction_timeout_s` < `max_poll_interval_s`.
    """

    bootstrap_servers: str
    group: str
    topics: tuple[str, ...]
    transactional_id: str
    commit_deadline_s: float = 8.0
    transaction_timeout_s: float = 10.0
    max_poll_interval_s: float = 60.0
    """Also how long the group waits for a member that does not give up what it should, and others stand still for it.
    A loop polls while it restores and while what it needs is away; the watchdog is no more patient."""

    def __post_init__(self) -> None:
        if not self.commit_deadline_s < self.transaction_timeout_s < self.max_poll_interval_s:
            raise ValueError(
                f"commit_deadline_s {self.commit_deadline_s} < transaction_timeout_s {self.transaction_timeout_s}"
                f" < max_poll_interval_s {self.max_poll_interval_s} must hold"
            )


def base(bootstrap_servers: str, client_id: str) -> Config:
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        # A broker that comes back is found within a second, not after the default's ten.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 3,
    }


def consumer(settings: ClientSettings) -> Config:
    return reader(settings.bootstrap_servers, settings.transactional_id) | {
        "group.id": settings.group,
        "group.protocol": "consumer",  # KIP-848; session and heartbeat are set on the broker
        "max.poll.interval.ms": int(settings.max_poll_interval_s * 1000),
    }


def reader(bootstrap_servers: str, client_id: str) -> Config:
    """A consumer without a group of its own: the client wants a name all the same, and joins nothing by it."""
    return base(bootstrap_servers, client_id) | {
        "group.id": f"{client_id}.reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # a position is always ours to set, never guessed
        "enable.partition.eof": True,  # tells the end of what can be read, transaction markers included
        "fetch.queue.backoff.ms": 10,  # the default of a second starves a fast reader whose queue was full
        # What is fetched ahead stands in one queue, first come first served, whatever partition it is of. Kept short, a
        # record of a quiet partition waits behind no more of a busy one's than this and one fetch of 4 MiB.
        "queued.min.messages": 10_000,
        "queued.max.messages.kbytes": 65536,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        # Four times the largest record: the client refuses a fetch size below its message size.
        "fetch.max.bytes": 64 * 1024 * 1024,
    }


def producer(bootstrap_servers: str, client_id: str) -> Config:
    return base(bootstrap_servers, client_id) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # so that Java clients find the same partition
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": 16 * 1024 * 1024,  # the topic's own limit decides
        # Far more than the 100 ms of output that a transaction takes. Where the output stands still, whoever produces
        # waits for room (transactions.py) and reads no further.
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 131_072,
    }


def transactional(settings: ClientSettings) -> Config:
    return producer(settings.bootstrap_servers, settings.transactional_id) | {
        "transactional.id": settings.transactional_id,
        "transaction.timeout.ms": int(settings.transaction_timeout_s * 1000),
    }
