"""Which signals end a command that has started processes, so that none of them outlives it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def stop_signals() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and the terminal's end, unless the command was started to outlive it (`nohup`)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if outlives else [signal.SIGHUP])]


def is_insistent(number: signal.Signals) -> bool:
    """Whether this one, coming second, means at once: a terminal that ends says so twice, itself and by its shell."""
    return number is not signal.SIGHUP


@contextmanager
def interrupting() -> Iterator[None]:
    """Makes each of them a KeyboardInterrupt, as Ctrl-C is anyway, where no event loop takes them."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
