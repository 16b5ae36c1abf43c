"""A stack's report to nobody."""


class Silent:
    """Says nothing."""

    def say(self, part: str, text: str) -> None:
        pass

    def fetched(self, part: str, done_bytes: int, total_bytes: int, done_files: int, total_files: int) -> None:
        pass
