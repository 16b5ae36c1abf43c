"""How a starting stack looks on the terminal, and in a log that nobody watches. Both go to standard error."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

_QUIET_S = 5.0


class ProgressReport:
    """A Report (penstock/local/report.py): bars that move on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._told_s: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[files]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, part: str, text: str) -> None:
        with self._lock, suppress(OSError):  # a terminal that is gone is no reason to leave a part running
            self._console.print(f"{part}: {text}", markup=False)

    def fetched(self, part: str, done_bytes: int, total_bytes: int, done_files: int, total_files: int) -> None:
        files = f"{done_files}/{total_files} files"
        with self._lock:
            if self._console.is_terminal:
                task = self._tasks.get(part)
                if task is None:
                    self._tasks[part] = task = self._bars.add_task(
                        f"{part}: downloading", total=total_bytes, files=files
                    )
                self._bars.update(task, completed=done_bytes, files=files, visible=done_files < total_files)
            else:
                self._tell(part, done_bytes, total_bytes, files, whole=done_files == total_files)

    def _tell(self, part: str, done_bytes: int, total_bytes: int, files: str, *, whole: bool) -> None:
        now = time.monotonic()
        if not whole and part in self._told_s and now - self._told_s[part] < _QUIET_S:
            return
        self._told_s[part] = now
        self._console.print(
            f"{part}: downloading, {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB, {files}", markup=False
        )
