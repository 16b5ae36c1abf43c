"""Fetching one file by its Maven coordinate, with jgo: no Maven and no system Java is needed."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.local.errors import StackError

if TYPE_CHECKING:
    from penstock.local.jars import Locked

_ATTEMPTS = 4
_FIRST_PAUSE_S = 1.0
_TIMEOUT_S = 30


class CancelledError(Exception):
    """Another download failed, or the person pressed Ctrl-C."""


def fetch(
    locked: "Locked",
    staging: Path,
    is_good: Callable[[Path, "Locked"], bool],
    on_bytes: Callable[["Locked", int], None],
    stops: tuple[threading.Event, ...],
) -> Path:
    """Downloads into `staging`, which nobody else uses, and verifies.

    Raises:
        StackError: what could not be fetched, why, and what to do.
    """
    problem: Exception | str = "nothing was tried"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
        shutil.rmtree(staging, ignore_errors=True)
        try:
            path = _resolve(locked, staging, on_bytes, stops)
            if is_good(path, locked):
                return path
            problem = f"what came is not what was locked: {path.stat().st_size} bytes instead of {locked.size_bytes}"
            if path.stat().st_size == locked.size_bytes:
                problem = "what came has another SHA-256 than the lock says"
        except CancelledError as error:
            raise StackError(f"the download of {locked} was stopped") from error
        except OSError as error:  # requests' errors are OSErrors
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise StackError(f"cannot store {locked} in {staging}: {error.strerror}") from error
            problem = error
        except RuntimeError as error:  # jgo: no repository has it
            problem = error
    raise StackError(
        f"cannot download {locked} ({_ATTEMPTS} attempts): {_brief(problem)}\n"
        "What is there already is kept; the command goes on from it when given again. Offline: PENSTOCK_CACHE"
        " can name a folder that was filled on another machine. Behind a proxy, set HTTPS_PROXY, and"
        " REQUESTS_CA_BUNDLE where it has a certificate of its own; for a mirror of Maven Central, set"
        " PENSTOCK_MAVEN_MIRROR to its address."
    )


def _resolve(
    locked: "Locked",
    staging: Path,
    on_bytes: Callable[["Locked", int], None],
    stops: tuple[threading.Event, ...],
) -> Path:
    # Late: this import takes a third of a second, which only a download needs.
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def watch(_name: str, _total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            if any(stop.is_set() for stop in stops):
                raise CancelledError
            done += count
            on_bytes(locked, done)

        yield advance

    if any(stop.is_set() for stop in stops):
        raise CancelledError
    mirror = os.environ.get("PENSTOCK_MAVEN_MIRROR")
    context = MavenContext(
        resolver=PythonResolver(progress_callback=watch),
        repo_cache=staging,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=_TIMEOUT_S,
    )
    component = context.project(locked.group, locked.artifact).at_version(locked.version)
    return component.artifact(locked.classifier, locked.packaging).resolve()


def _brief(problem: Exception | str) -> str:
    text = str(problem)
    return f"{type(problem).__name__}: {text[:300]}" if isinstance(problem, Exception) else text
