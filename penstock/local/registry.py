"""Apicurio Registry, spoken to by the Confluent REST API under /apis/ccompat/v7."""

import http.client
import json
import shutil
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

from penstock.local.aot import StartCache
from penstock.local.errors import NotAnsweringError, StackError
from penstock.local.folders import make_folder, require_space
from penstock.local.jars import locked_file, read_lock, sha256_of
from penstock.local.java import java_command, java_executable, java_mark
from penstock.local.process import Launch, clean_environment
from penstock.local.state import State

VERSION = "3.3.3"
_HEAP_MB = 384
_UNPACKED_BYTES = 180_000_000


class Registry:
    name = "registry"
    version = VERSION
    stop_signal = signal.SIGTERM
    stop_grace_s = 60.0  # the first end writes the start cache

    def __init__(self, data: Path, state: State, cache: Path, archive: Callable[[], Path]) -> None:
        self._home = data / "registry"
        self._state = state
        self._cache = cache
        self._archive = archive
        self._starts = StartCache(self._home, cache / "aot", "registry")

    @property
    def address(self) -> str:
        return self._state.schema_registry_url

    @property
    def mark(self) -> str:
        return java_mark(self._home / "tmp")

    def prepare(self) -> Launch:
        (locked,) = read_lock("registry")
        unpacked = unpack(self._archive, self._cache / f"registry-{VERSION}-{locked.sha256[:12]}")
        make_folder(self._home)
        self.settle()
        java = java_command(_HEAP_MB, self._home / "tmp", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        environment = clean_environment(
            HOME=str(self._home),
            QUARKUS_HTTP_HOST="127.0.0.1",
            QUARKUS_HTTP_PORT=str(self._state.ports["registry"]),
            QUARKUS_HTTP_ACCESS_LOG_ENABLED="false",
            # Its health page, which nobody asks, else takes port 9000 on every interface.
            QUARKUS_MANAGEMENT_HOST="127.0.0.1",
            QUARKUS_MANAGEMENT_PORT="0",
            APICURIO_STORAGE_KIND="sql",
            APICURIO_STORAGE_SQL_KIND="h2",
            # Relative to the working directory: no character of DATA's path can be taken for syntax.
            # Without WRITE_DELAY=0 schemas registered in the last half second do not survive kill -9.
            APICURIO_DATASOURCE_URL="jdbc:h2:file:./h2/registry;WRITE_DELAY=0",
        )
        jar = unpacked / "quarkus-run.jar"
        quicker = self._starts.options(java_executable(), str(jar))
        return Launch([java[0], *quicker, *java[1:], "-jar", jar], self._home, environment)

    def probe(self, *, thorough: bool) -> None:
        # http.client, since a proxy set in the environment is no way to 127.0.0.1.
        connection = http.client.HTTPConnection("127.0.0.1", self._state.ports["registry"], timeout=5)
        try:
            connection.request("GET", "/apis/ccompat/v7/subjects")
            response = connection.getresponse()
            body = response.read()
            if response.status != 200 or not isinstance(json.loads(body), list):
                raise NotAnsweringError(f"GET /subjects is answered with {response.status}: {body[:200]!r}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotAnsweringError(f"GET /subjects: {error}") from error
        finally:
            connection.close()

    def farewell(self) -> str:
        return self._starts.farewell()

    def complete(self) -> None:
        pass

    def settle(self) -> None:
        self._starts.adopt()

    def remove(self) -> None:
        pass


def unpack(archive: Callable[[], Path], target: Path) -> Path:
    """Unpacks the archive into `target`, unless all of it is there; several commands may do so at once.

    A file that is missing or is not what was unpacked makes all of it be unpacked again.
    """
    make_folder(target.parent)
    with locked_file(target.with_name(f"{target.name}.lock")):
        if _is_whole(target):
            return target
        source = archive()
        require_space(target.parent, _UNPACKED_BYTES, "the registry")
        fresh = target.with_name(f"{target.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        try:
            with tarfile.open(source) as tar:
                tar.extractall(fresh, filter="data")
            contents = {str(f.relative_to(fresh)): sha256_of(f) for f in fresh.rglob("*") if f.is_file()}
            (fresh / "contents.json").write_text(json.dumps(contents))
            fresh.replace(target)
        except (OSError, tarfile.TarError) as error:
            raise StackError(f"cannot unpack {source} to {target}: {error}") from error
    return target


def _is_whole(target: Path) -> bool:
    try:
        contents: dict[str, str] = json.loads((target / "contents.json").read_text())
        return all(sha256_of(target / name) == sha256 for name, sha256 in contents.items())
    except (OSError, ValueError):
        return False
