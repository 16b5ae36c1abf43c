"""Topic ids are text that can be part of a name, the same text that Kafka's own tools print."""

import pytest
from confluent_kafka import Uuid

from penstock.stream.topic_id import topic_id_text


@pytest.mark.parametrize(
    ("most", "least", "text"),
    [  # as org.apache.kafka.common.Uuid prints them: the base64 of 16 bytes by its URL-safe alphabet
        (-1, -1, "_____________________w"),
        (0, 1, "AAAAAAAAAAAAAAAAAAAAAQ"),
        (-292487163649884421, 5, "-_DgeW1JfvsAAAAAAAAABQ"),
    ],
)
def test_an_id_has_neither_slash_nor_plus_nor_padding(most: int, least: int, text: str) -> None:
    assert topic_id_text(Uuid(most, least)) == text
