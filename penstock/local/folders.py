"""Where a stack keeps its data, and where all stacks of a user keep what they downloaded."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from penstock.local.errors import StackError


def data_folder(asked: Path | None, environ: Mapping[str, str]) -> Path:
    """The stack's folder: what was asked for, else PENSTOCK_DATA, else the platform's user data folder."""
    named = asked or environ.get("PENSTOCK_DATA") or platformdirs.user_data_path("penstock", appauthor=False)
    folder = Path(named).expanduser().absolute()
    if "\\" in str(folder):
        raise StackError(
            f"the data folder {folder} has a backslash in its path, which the registry's database cannot hold"
        )
    return folder


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Downloads, shared by all stacks of this user: PENSTOCK_CACHE, else the platform's user cache folder."""
    named = environ.get("PENSTOCK_CACHE") or platformdirs.user_cache_path("penstock", appauthor=False)
    folder = Path(named).expanduser().absolute()
    if ":" in str(folder):
        raise StackError(f"the cache folder {folder} has a colon in its path, which Java's class path cannot hold")
    return folder


def make_folder(folder: Path, mode: int = 0o700) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise StackError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StackError(f"the folder {folder} cannot be written by this user")
    return folder


def require_space(folder: Path, wanted_bytes: int, what: str) -> None:
    """Raises StackError unless the disk that holds `folder` (which exists) has `wanted_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes:
        raise StackError(
            f"no disk space for {what}: {folder} has {free / 1e6:.0f} MB free, {wanted_bytes / 1e6:.0f} MB are needed"
        )
