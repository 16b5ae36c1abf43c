"""Processes that outlive the command that started them, known by pid and start time."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock.local.errors import StackError


@dataclass(frozen=True, slots=True)
class Running:
    """A process: `started` tells it from a later one that was given the same pid."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Account:
    """Who a part runs as, where that is not who gave the command."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    argv: Sequence[str | Path]
    cwd: Path
    env: Mapping[str, str]
    account: Account | None = None


def clean_environment(**more: str) -> dict[str, str]:
    """What a part may know of the caller's environment: no Java, Kafka, Quarkus or PG variable leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8"} | kept | more


def spawn(launch: Launch, log: Path) -> Running:
    """Starts a process that does not die with this command or its terminal; its output goes to the end of `log`."""
    account = launch.account
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                [str(word) for word in launch.argv],
                cwd=launch.cwd,
                env=dict(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"cannot start {launch.argv[0]}: {error}") from error
    # Nobody here waits for it to end, and an end that is nobody's business is not worth a warning.
    child.returncode = 0
    return Running(child.pid, start_mark(child.pid) or "")


def run(launch: Launch, log: Path, timeout_s: float) -> int:
    """Runs to the end, output to `log`; the exit status."""
    account = launch.account
    with log.open("ab") as output:
        try:
            return subprocess.run(
                [str(word) for word in launch.argv],
                cwd=launch.cwd,
                env=dict(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
                timeout=timeout_s,
                check=False,
            ).returncode
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"cannot run {launch.argv[0]}: {error}") from error


def start_mark(pid: int) -> str | None:
    """What tells this process from another with its pid; None when there is no such process, or only a zombie.

    On Linux the start in clock ticks since the boot and the boot's id, which no change of the clock moves.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _portable_mark(pid)
    # The name, in brackets, may hold anything; state is the first field after it, start the twentieth (proc(5)).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{fields[19]}@{boot}"


def _portable_mark(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else str(process.create_time())
    except psutil.Error:
        return None


def alive(running: Running | None) -> bool:
    return running is not None and start_mark(running.pid) == running.started


def uptime_s(running: Running) -> float:
    try:
        return max(0.0, time.time() - psutil.Process(running.pid).create_time())
    except psutil.Error:
        return 0.0


def stop(running: Running, gently: signal.Signals, grace_s: float) -> bool:
    """Asks the process to end, waits `grace_s`, then kills it. True if it went by itself; returns when it is gone."""
    for sign, patience_s in ((gently, grace_s), (signal.SIGKILL, 10.0)):
        if not alive(running):
            return sign is gently
        try:
            os.kill(running.pid, sign)
        except ProcessLookupError:
            return sign is gently
        except PermissionError as error:
            raise StackError(
                f"process {running.pid} belongs to another user: take the stack down as who started it"
            ) from error
        if wait_gone(running, patience_s):
            return sign is gently
    raise StackError(f"process {running.pid} does not end, not even when killed: it hangs in the kernel")


def wait_gone(running: Running, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while alive(running):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def with_word(word: str) -> list[Running]:
    """The live processes of this machine that were started with `word` as one of their arguments.

    A container's processes, which see other files by the same paths, are not meant.
    """
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in (process.info["cmdline"] or []) and _same_files(process.pid):
            mark = start_mark(process.pid)
            if mark:
                found.append(Running(process.pid, mark))
    return found


def _same_files(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/mnt").stat().st_ino == Path("/proc/self/ns/mnt").stat().st_ino
    except OSError:
        return not Path("/proc/self/ns").exists()


def working_in(folder: Path, name: str) -> list[int]:
    """The live processes called `name` whose working directory is `folder`."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == name:
            try:
                if process.cwd() == str(folder) and start_mark(process.pid):
                    found.append(process.pid)
            except (psutil.Error, OSError):
                continue
    return found


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, to be shown in an error; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  | {line[:300]}" for line in lines[-count:])
