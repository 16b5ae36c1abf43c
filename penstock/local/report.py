"""What a starting stack tells the person who waits for it."""

from typing import Protocol


class Report(Protocol):
    """Called from several threads."""

    def say(self, part: str, text: str) -> None:
        """Something happened to a part: a line of its own."""
        ...

    def fetched(self, part: str, done_bytes: int, total_bytes: int, done_files: int, total_files: int) -> None:
        """How far the download for a part is; called often."""
        ...
