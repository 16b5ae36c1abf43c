"""Why the in-memory broker refuses a request, by the names of Kafka's error codes."""

from enum import StrEnum


class Code(StrEnum):
    UNKNOWN_TOPIC = "UNKNOWN_TOPIC_OR_PARTITION"
    TOPIC_EXISTS = "TOPIC_ALREADY_EXISTS"
    OFFSET_OUT_OF_RANGE = "OFFSET_OUT_OF_RANGE"
    TOO_LARGE = "MESSAGE_TOO_LARGE"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    FENCED_PRODUCER = "PRODUCER_FENCED"
    INVALID_TRANSACTION_STATE = "INVALID_TXN_STATE"
    NOT_COORDINATOR = "NOT_COORDINATOR"
    CONCURRENT_TRANSACTIONS = "CONCURRENT_TRANSACTIONS"
    UNKNOWN_MEMBER = "UNKNOWN_MEMBER_ID"
    STALE_EPOCH = "STALE_MEMBER_EPOCH"


class RefusedError(Exception):
    """The broker's answer to one request."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
