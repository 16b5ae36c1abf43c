"""What can go wrong, and the one consequence each kind of error has.

Every exception that crosses a part's border is classified here and nowhere else:

| category  | meaning                                          | consequence in the loop                    |
|-----------|--------------------------------------------------|--------------------------------------------|
| transient | may pass by itself: a time-out, a lost connection | again, with backoff and jitter             |
| throttled | the other side said when to come back             | wait that long, then again                 |
| data      | this record can never be processed                | dead letter, go on                         |
| permanent | this request can never succeed, the next one may  | stop the stage with an explanation         |
| system    | the environment is wrong: clock, disk, rights     | stop the process with an explanation       |
"""

import asyncio
from enum import StrEnum


class Category(StrEnum):
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    DATA = "data"
    PERMANENT = "permanent"
    SYSTEM = "system"


class PenstockError(Exception):
    """Base of every error that Penstock raises itself; its text is for the person who gets it."""

    category: Category = Category.PERMANENT


class TransientError(PenstockError):
    """
    Args:
        cause: a short stable word for why, where its class says too little; what retries are counted by.
    """

    category = Category.TRANSIENT

    def __init__(self, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class BrokerError(TransientError):
    """Kafka's; `cause` is its row in docs/guarantees.md where it has one."""


class ThrottledError(TransientError):
    """A transient one that knows when it is over: come back after `retry_after_s` seconds."""

    category = Category.THROTTLED

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DataError(PenstockError):
    """A record that can never be processed.

    Args:
        reason: a short stable slug, e.g. `bad-magic`, `unknown-schema`, `too-large`; what dead letters are grouped by.
        detail: one sentence for the person who reads the dead letter.
        field: the field at fault, where there is one.
    """

    category = Category.DATA

    def __init__(self, reason: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


class PermanentError(PenstockError):
    category = Category.PERMANENT


class SystemFaultError(PenstockError):
    """The environment is wrong and only a person can mend it."""

    category = Category.SYSTEM


_TRANSIENT = (ConnectionError, TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError)


def classify(error: BaseException) -> Category:
    """The category of any exception; one nobody foresaw is permanent: stopping beats guessing."""
    if isinstance(error, PenstockError):
        return error.category
    if isinstance(error, _TRANSIENT):
        return Category.TRANSIENT
    if isinstance(error, OSError):
        return Category.SYSTEM
    return Category.PERMANENT


def passes(error: BaseException) -> bool:
    """Whether it may be over by itself: to be tried again, after a while."""
    return classify(error) in (Category.TRANSIENT, Category.THROTTLED)


def cause_of(error: BaseException) -> str:
    """Why it failed, in a short stable word: the first one stated on the way to its origin, else the class of that."""
    while True:
        if isinstance(error, TransientError) and error.cause:
            return error.cause
        if error.__cause__ is None:
            return type(error).__name__
        error = error.__cause__
