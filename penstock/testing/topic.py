"""A topic's settings, by the meaning of Kafka's names for them."""

from dataclasses import dataclass

DAY_MS = 86_400_000
FOREVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """Defaults are Kafka's, but for retention, which is off unless set."""

    max_message_bytes: int = 1_048_588  # max.message.bytes
    timestamp_after_max_ms: int = 3_600_000  # message.timestamp.after.max.ms
    timestamp_before_max_ms: int = FOREVER_MS  # message.timestamp.before.max.ms
    log_append_time: bool = False  # message.timestamp.type=LogAppendTime
    retention_ms: int | None = None  # retention.ms
