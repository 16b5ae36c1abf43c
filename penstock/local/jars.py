"""The jars that Kafka and the registry are made of: a lock of what is wanted, and a cache of what is there.

Every file is known by its Maven coordinate, size and SHA-256 (jars.lock, made by scripts/lock-jars). A
file in the cache is complete and was verified before it got its name; it is verified again at each use, and fetched
again if it is not what the lock says. Several commands may use and fill one cache at the same time.
"""

import fcntl
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from penstock.local.download import fetch
from penstock.local.errors import StackError
from penstock.local.folders import make_folder, require_space

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Locked:
    """One file of the lock."""

    group: str
    artifact: str
    packaging: str
    classifier: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Unique in the lock: the group is part of it."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.group}.{self.artifact}-{self.version}{classifier}.{self.packaging}"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(part: str, text: str | None = None) -> list[Locked]:
    """The files of a part (`kafka` or `registry`), from the packaged jars.lock unless a text is given."""
    if text is None:
        text = resources.files("penstock.local").joinpath("jars.lock").read_text()
    locked = []
    for line in text.splitlines():
        if line.startswith(f"{part} "):
            _, coordinate, size, sha256 = line.split()
            group, artifact, packaging, *classifier, version = coordinate.split(":")
            locked.append(Locked(group, artifact, packaging, "".join(classifier), version, int(size), sha256))
    return locked


def is_good(path: Path, locked: Locked) -> bool:
    try:
        if path.stat().st_size != locked.size_bytes:
            return False
        return sha256_of(path) == locked.sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class JarCache:
    def __init__(self, folder: Path, cancelled: threading.Event) -> None:
        self.folder = folder
        self._cancelled = cancelled

    def ensure(self, wanted: list[Locked], progress: Callable[[int, int], None]) -> list[Path]:
        """The verified files, in the order of `wanted`, after fetching what is missing or broken.

        Args:
            wanted: files of the lock.
            progress: called with (bytes there now, files there now) of `wanted`, only if something is fetched.

        Raises:
            StackError: a file could not be fetched; says which, why, and what to do.
        """
        jars = make_folder(self.folder / "jars")
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="jars") as pool:
            good = list(pool.map(lambda locked: is_good(jars / locked.file_name, locked), wanted))
            missing = [locked for locked, there in zip(wanted, good, strict=True) if not there]
            if missing:
                require_space(jars, sum(locked.size_bytes for locked in missing) + 50_000_000, "the downloads")
                tally = _Tally(wanted, missing, progress)
                # The largest first, so that no thread is left alone with it at the end.
                by_size = sorted(missing, key=lambda locked: -locked.size_bytes)
                jobs = [pool.submit(self._fetch, locked, jars, tally) for locked in by_size]
                try:
                    for job in jobs:
                        job.result()
                except BaseException:
                    for job in jobs:
                        job.cancel()
                    tally.stopped.set()
                    raise
        return [jars / locked.file_name for locked in wanted]

    def _fetch(self, locked: Locked, jars: Path, tally: "_Tally") -> None:
        staging = make_folder(self.folder / "partial") / locked.file_name
        with locked_file(staging.with_name(f"{locked.file_name}.lock")):
            target = jars / locked.file_name
            # Somebody else may have fetched it while this one waited for the lock, and cleared up behind it:
            # so the folder is made by whoever holds the lock, never before.
            if not is_good(target, locked):
                make_folder(staging)
                fresh = fetch(locked, staging, is_good, tally.add, (self._cancelled, tally.stopped))
                try:
                    fresh.replace(target)
                except OSError as error:
                    raise StackError(f"cannot store {target}: {error.strerror}") from error
            shutil.rmtree(staging, ignore_errors=True)
        tally.complete(locked)


class _Tally:
    """Counts the bytes of several downloads at once; a file's bytes are forgotten when it starts again."""

    def __init__(self, wanted: list[Locked], missing: list[Locked], progress: Callable[[int, int], None]) -> None:
        self._lock = threading.Lock()
        self._files = len(wanted) - len(missing)
        self._whole = sum(one.size_bytes for one in wanted) - sum(one.size_bytes for one in missing)
        self._partial: dict[str, int] = {}
        self._progress = progress
        self.stopped = threading.Event()

    def add(self, locked: Locked, done_bytes: int) -> None:
        with self._lock:
            self._partial[locked.file_name] = done_bytes
            self._tell()

    def complete(self, locked: Locked) -> None:
        with self._lock:
            self._partial.pop(locked.file_name, None)
            self._whole += locked.size_bytes
            self._files += 1
            self._tell()

    def _tell(self) -> None:
        self._progress(self._whole + sum(self._partial.values()), self._files)


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Holds an exclusive lock among processes; the kernel gives it back if this one dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
