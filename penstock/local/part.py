"""What the stack knows of a part: how to make it ready to start, start it, ask it, and stop it."""

import signal
from pathlib import Path
from typing import Protocol

from penstock.local.process import Launch


class Part(Protocol):
    name: str
    version: str
    stop_signal: signal.Signals
    stop_grace_s: float

    @property
    def address(self) -> str:
        """Where it answers, as a person wants to read it."""
        ...

    @property
    def mark(self) -> str:
        """An argument of its command line that no other process has: a path of its own."""
        ...

    def prepare(self) -> Launch:
        """Everything that has to be there before it starts: downloads, formatting, settings. Idempotent."""
        ...

    def probe(self, *, thorough: bool) -> None:
        """Speaks its protocol, for a few seconds at most; thoroughly, to know that all of it works after a start.

        Raises:
            NotAnsweringError: with the reason.
        """
        ...

    def farewell(self) -> str:
        """What to say before it is stopped, if anything."""
        ...

    def complete(self) -> None:
        """What is left to do once it answers; idempotent."""
        ...

    def settle(self) -> None:
        """Waits until nothing is left of a stopped or killed one; called when its process is gone."""
        ...

    def remove(self) -> None:
        """Removes its data outside of the data folder, if any."""
        ...


def log_path(data: Path, part: str) -> Path:
    return data / "logs" / f"{part}.log"
