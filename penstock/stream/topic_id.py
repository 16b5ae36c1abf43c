"""A topic's unique id as text, the way Kafka's own tools print it."""

from confluent_kafka import Uuid


def topic_id_text(topic_id: Uuid) -> str:
    """URL-safe base64 without padding, 22 characters, as Kafka's `Uuid.toString` (KIP-516).

    The client prints the same bytes in plain base64, where `/` and `+` occur: a slash in an id would split the names of
    objects that carry it.
    """
    return str(topic_id).replace("+", "-").replace("/", "_").rstrip("=")
