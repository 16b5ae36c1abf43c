"""The stack as a whole: up, down, status."""

import fcntl
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from penstock.local.errors import NotAnsweringError, StackError
from penstock.local.folders import make_folder, require_space
from penstock.local.jars import JarCache, read_lock
from penstock.local.kafka import Kafka
from penstock.local.nodes import COUNTS, settle_nodes, with_ports, without_majority
from penstock.local.part import Part, log_path
from penstock.local.postgres import Postgres
from penstock.local.process import alive, last_lines, spawn, stop, uptime_s, with_word
from penstock.local.registry import Registry
from penstock.local.report import Report
from penstock.local.state import State, StateFile, kafka_parts, new_state

# Everything in a data folder that is Penstock's own, services' files included; `down --volumes` removes just this.
OWNED = frozenset({"stack.json", "stack.new", "lock", "logs", "objects", "run", "kafka", "registry", "postgres"})

_START_S = 120.0
_LOG_LIMIT_BYTES = 20_000_000
_DATA_BYTES = 300_000_000


@dataclass(frozen=True, slots=True)
class PartStatus:
    """state: `up`, `not answering` (it runs; `problem` says more), `down`."""

    part: str
    state: str
    pid: int | None
    address: str | None
    version: str
    uptime_s: float | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """What `up` found and did."""

    state: State
    started: list[str]


class Stack:
    """All commands on one data folder; `cache` holds what is downloaded, for all stacks."""

    def __init__(self, data: Path, cache: Path, report: Report) -> None:
        self.data = data
        self.cache = cache
        self._report = report
        self._file = StateFile(data)
        self._cancelled = threading.Event()

    # -- up

    def up(
        self,
        asked_ports: Mapping[str, int] | None = None,
        finish: Callable[[State], None] = lambda _state: None,
        nodes: int | None = None,
    ) -> Up:
        """Starts what does not run and returns when every part answers.

        What this call started is stopped again if it fails or is interrupted; what ran before is left alone.

        Args:
            asked_ports: by name, e.g. `kafka`; other ports are kept, or any free ones.
            finish: what else to do before another command may work on the folder; if it fails, all parts stay up.
            nodes: how many brokers, if not as many as the stack has; a new one has one.

        Raises:
            StackError: says which part, why, and the end of its log.
        """
        with self._locked():
            make_folder(self.data / "logs")
            make_folder(self.data / "objects")
            state = settle_nodes(self.data, self._file.read(), nodes)
            missing = [part for part in self.parts(state) if not alive(state.running.get(part.name))]
            for part in missing:
                self._stop_strays(part)
            state = with_ports(state, [part.name for part in missing], asked_ports or {}, self._report)
            self._file.write(state)
            if missing:
                require_space(self.data, _DATA_BYTES, "the stack's data")
            self._start(state, [part.name for part in missing])
            found = self._file.read()
            if found is None:
                raise StackError(f"{self._file.path} went away while the stack started")
            finish(found)
            return Up(found, [part.name for part in missing])

    def _start(self, state: State, missing: list[str]) -> None:
        parts = self.parts(state)
        started: list[str] = []
        with ThreadPoolExecutor(len(parts), thread_name_prefix="part") as pool:
            jobs = [pool.submit(self._bring_up, part, part.name in missing, started) for part in parts]
            try:
                _first_error(jobs)
            except BaseException:
                self._cancelled.set()
                _wait_all(jobs)
                self._stop_all([part for part in parts if part.name in started], self._file.read() or state)
                raise

    def _bring_up(self, part: Part, start: bool, started: list[str]) -> None:
        began = time.monotonic()
        log = log_path(self.data, part.name)
        if start:
            _rotate(log)
            launch = part.prepare()
            if self._cancelled.is_set():
                return
            running = spawn(launch, log)
            started.append(part.name)
            self._file.update(lambda state: state.with_running(part.name, running))
            self._report.say(part.name, f"starting, process {running.pid}")
        self._await_answer(part, log)
        part.complete()
        if start:
            self._report.say(part.name, f"answers at {part.address} after {time.monotonic() - began:.1f} s")

    def _await_answer(self, part: Part, log: Path) -> None:
        deadline = time.monotonic() + _START_S
        while not self._cancelled.is_set():
            state = self._file.read()
            if state is None or not alive(state.running.get(part.name)):
                raise StackError(f"{part.name} ended while it started; the end of {log}:\n{last_lines(log)}")
            try:
                part.probe(thorough=True)
            except NotAnsweringError as error:
                if time.monotonic() > deadline:
                    raise StackError(
                        f"{part.name} does not answer after {_START_S:.0f} s ({error});"
                        f" the end of {log}:\n{last_lines(log)}"
                    ) from error
                self._cancelled.wait(0.05)
            else:
                return

    # -- down

    def down(self, *, volumes: bool = False) -> list[str]:
        """Stops every part, waits until nothing is left of it, and with `volumes` removes all data. Which were up."""
        if not self.data.exists():
            return self._stop_orphans(volumes=volumes)
        with self._locked():
            # Even where stack.json is gone, its parts may still be there.
            state = settle_nodes(self.data, self._file.read(), None)
            parts = self.parts(state)
            stopped = [part.name for part in parts if alive(state.running.get(part.name))]
            self._stop_all(parts, state)
            if volumes:
                for part in parts:
                    part.remove()
                self._remove_data()
        return stopped

    def _stop_orphans(self, *, volumes: bool) -> list[str]:
        """The data folder was removed by hand, perhaps under parts that ran; how many nodes it had, nobody knows."""
        parts = {part.name: part for nodes in COUNTS for part in self.parts(new_state(self.data, nodes))}
        stopped = [name for name, part in parts.items() if self._stop_strays(part)]
        if volumes:
            for part in parts.values():
                part.remove()
        return stopped

    def _stop_all(self, parts: list[Part], state: State) -> None:
        """All at once: nodes that went one after the other would leave the last without a majority."""
        stuck = without_majority(state)
        with ThreadPoolExecutor(max(1, len(parts)), thread_name_prefix="part") as pool:
            _first_error([pool.submit(self._stop, part, in_order=part.name not in stuck) for part in parts])

    def _stop(self, part: Part, *, in_order: bool = True) -> None:
        state = self._file.read()
        running = state.running.get(part.name) if state else None
        if running is not None and alive(running):
            if not in_order:
                stop(running, signal.SIGKILL, part.stop_grace_s)
                self._report.say(part.name, "killed: it cannot stop in order, with most of its cluster's nodes gone")
            else:
                if part.farewell():
                    self._report.say(part.name, part.farewell())
                by_itself = stop(running, part.stop_signal, part.stop_grace_s)
                self._report.say(part.name, "stopped" if by_itself else "killed: it did not stop when asked to")
        self._stop_strays(part)
        part.settle()
        if state is not None:
            self._file.update(lambda state: state.with_running(part.name, None))

    def _stop_strays(self, part: Part) -> bool:
        """What stack.json does not know of: a command was killed before it wrote it down, or the file was removed.
        Whether there was any."""
        strays = with_word(part.mark)
        for stray in strays:
            self._report.say(part.name, f"stopping process {stray.pid}, left over in this data folder")
            stop(stray, part.stop_signal, part.stop_grace_s)
        return bool(strays)

    def _remove_data(self) -> None:
        """Removes what Penstock made in the data folder, and the folder if nothing else is in it."""
        for path in self.data.iterdir():
            if path.name in OWNED or path.name.startswith("kafka-"):
                if path.is_dir() and not path.is_symlink():
                    _remove_tree(path)
                else:
                    path.unlink()
        left = sorted(path.name for path in self.data.iterdir())
        if left:
            self._report.say("stack", f"left in {self.data}, since Penstock did not make it: {', '.join(left)}")
        else:
            self.data.rmdir()

    # -- status

    def status(self) -> list[PartStatus]:
        state = self._file.read()
        if state is None:
            return []
        parts = self.parts(state)
        with ThreadPoolExecutor(len(parts), thread_name_prefix="part") as pool:
            return list(pool.map(lambda part: _status(part, state), parts))

    # -- the parts

    def parts(self, state: State) -> list[Part]:
        jars = JarCache(self.cache, self._cancelled)

        def fetch(part: str) -> list[Path]:
            wanted = read_lock(part)
            total = sum(locked.size_bytes for locked in wanted)
            return jars.ensure(wanted, lambda size, files: self._report.fetched(part, size, total, files, len(wanted)))

        kafkas = [
            Kafka(name, self.data, self.cache, state, lambda: fetch("kafka")) for name in kafka_parts(state.nodes)
        ]
        registry = Registry(self.data, state, self.cache, lambda: fetch("registry")[0])
        return [*kafkas, registry, Postgres(self.data, state)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time works on a data folder; a second one waits."""
        lock = make_folder(self.data) / "lock"
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report.say("stack", f"waiting for another command that works on {self.data}")
                fcntl.flock(file, fcntl.LOCK_EX)
            # The command that was waited for may have removed the folder, and this lock with it.
            if lock.exists() and lock.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield
                return
        with self._locked():
            yield


def part_names(state: State) -> list[str]:
    return [*kafka_parts(state.nodes), "registry", "postgres"]


def _status(part: Part, state: State) -> PartStatus:
    running = state.running.get(part.name)
    if running is None or not alive(running):
        killed = "it ended by itself; `penstock up` starts it again" if running else None
        return PartStatus(part.name, "down", None, None, part.version, None, killed)
    try:
        part.probe(thorough=False)
    except NotAnsweringError as error:
        return PartStatus(
            part.name, "not answering", running.pid, part.address, part.version, uptime_s(running), str(error)
        )
    return PartStatus(part.name, "up", running.pid, part.address, part.version, uptime_s(running))


def _first_error(jobs: list[Future[None]]) -> None:
    for job in as_completed(jobs):
        job.result()


def _wait_all(jobs: list[Future[None]]) -> None:
    for job in jobs:
        job.exception()


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    if not log.exists():
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT, 0o600))


@retry(retry=retry_if_exception_type(OSError), wait=wait_fixed(0.1), stop=stop_after_delay(5), reraise=True)
def _remove_tree(path: Path) -> None:
    """A process that is just ending may still write into it: then it is removed once more."""
    if path.exists():
        shutil.rmtree(path)
