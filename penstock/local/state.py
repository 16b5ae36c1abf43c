"""DATA/stack.json: where a stack answers, its secrets, and which processes it is made of."""

import base64
import json
import os
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.local.errors import StackError
from penstock.local.process import Running

_VERSION = 1


@dataclass(frozen=True, slots=True)
class State:
    """All that outlives a command. Ports and secrets outlive `down` as well; processes do not.

    Attributes:
        fingerprint_key: 32 random bytes as hex, made once: the key of this deployment's fingerprints.
        cluster_id: Kafka's own name for its cluster, base64 of 16 bytes.
        ports: by name, e.g. `kafka`, `kafka-controller`, `registry`, `postgres`.
        running: by part.
    """

    fingerprint_key: str
    cluster_id: str
    postgres_password: str
    object_store_url: str
    ports: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)
    nodes: int = 1

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{self.ports[name]}" for name in kafka_parts(self.nodes))

    @property
    def schema_registry_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['registry']}/apis/ccompat/v7"

    @property
    def postgres_dsn(self) -> str:
        return f"postgresql://penstock:{self.postgres_password}@127.0.0.1:{self.ports['postgres']}/penstock"

    def with_running(self, part: str, running: Running | None) -> "State":
        others = {name: process for name, process in self.running.items() if name != part}
        return replace(self, running=others | ({part: running} if running else {}))


def kafka_parts(nodes: int) -> list[str]:
    """The names of Kafka's parts: `kafka` alone, or `kafka-1` to `kafka-N`."""
    return ["kafka"] if nodes == 1 else [f"kafka-{node}" for node in range(1, nodes + 1)]


def new_state(data: Path, nodes: int = 1) -> State:
    return State(
        fingerprint_key=secrets.token_hex(32),
        # Kafka refuses an id that starts with a dash, so it starts with a letter.
        cluster_id="P" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:],
        postgres_password=secrets.token_urlsafe(24),
        object_store_url=(data / "objects").as_uri(),
        nodes=nodes,
    )


class StateFile:
    """stack.json, replaced as a whole at each change (0600: it holds secrets); safe among the threads of a command."""

    def __init__(self, data: Path) -> None:
        self.path = data / "stack.json"
        self._lock = threading.Lock()

    def read(self) -> State | None:
        """None where no stack was ever started. Raises StackError for a file that cannot be understood."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StackError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            return _decode(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StackError(
                f"{self.path} is not a stack's description ({error!r}); restore it, or remove the folder to start anew"
            ) from error

    def write(self, state: State) -> None:
        with self._lock:
            self._write(state)

    def update(self, change: Callable[[State], State]) -> State:
        with self._lock:
            state = self.read()
            if state is None:
                raise StackError(f"{self.path} went away while it was in use")
            state = change(state)
            self._write(state)
            return state

    def _write(self, state: State) -> None:
        new = self.path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(_encode(state), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


def _encode(state: State) -> dict[str, Any]:
    complete = all(name in state.ports for name in (*kafka_parts(state.nodes), "registry", "postgres"))
    return {
        "version": _VERSION,
        "bootstrap_servers": state.bootstrap_servers if complete else None,
        "schema_registry_url": state.schema_registry_url if complete else None,
        "postgres_dsn": state.postgres_dsn if complete else None,
        "object_store_url": state.object_store_url,
        "fingerprint_key": state.fingerprint_key,
        "postgres_password": state.postgres_password,
        "cluster_id": state.cluster_id,
        "nodes": state.nodes,
        "ports": dict(state.ports),
        "pids": {part: {"pid": running.pid, "started": running.started} for part, running in state.running.items()},
    }


def _decode(raw: dict[str, Any]) -> State:
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']}, and this is for version {_VERSION}")
    return State(
        fingerprint_key=str(raw["fingerprint_key"]),
        cluster_id=str(raw["cluster_id"]),
        postgres_password=str(raw["postgres_password"]),
        object_store_url=str(raw["object_store_url"]),
        ports={str(name): int(port) for name, port in raw["ports"].items()},
        running={part: Running(int(one["pid"]), str(one["started"])) for part, one in raw["pids"].items()},
        nodes=int(raw["nodes"]),
    )
