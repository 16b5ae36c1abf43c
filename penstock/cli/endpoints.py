"""Where the parts are that a command talks to: flag, PENSTOCK_* variable, stack.json, default, in this order."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from penstock.cli.errors import EnvironmentProblem
from penstock.local.folders import data_folder
from penstock.local.state import State, StateFile

_DEFAULTS = (("127.0.0.1", 9092), ("127.0.0.1", 8081))
_VARIABLES = (
    "PENSTOCK_BOOTSTRAP_SERVERS",
    "PENSTOCK_SCHEMA_REGISTRY_URL",
    "PENSTOCK_POSTGRES_DSN",
    "PENSTOCK_OBJECT_STORE_URL",
)
_CONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options, as they were given."""

    data: Path | None = None
    bootstrap_servers: str | None = None
    schema_registry_url: str | None = None
    postgres_dsn: str | None = None
    object_store_url: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`fingerprint_key` (hex) is None where no stack and no variable names one: there is no default for a secret."""

    bootstrap_servers: str
    schema_registry_url: str
    postgres_dsn: str
    object_store_url: str
    fingerprint_key: str | None
    data: Path

    def environment(self) -> dict[str, str]:
        """As services want it: PENSTOCK_* variables."""
        variables = {
            "PENSTOCK_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "PENSTOCK_SCHEMA_REGISTRY_URL": self.schema_registry_url,
            "PENSTOCK_POSTGRES_DSN": self.postgres_dsn,
            "PENSTOCK_OBJECT_STORE_URL": self.object_store_url,
            "PENSTOCK_DATA": str(self.data),
        }
        return variables | ({"PENSTOCK_FINGERPRINT_KEY": self.fingerprint_key} if self.fingerprint_key else {})


def resolve(ctx: click.Context) -> Endpoints:
    """For the command in `ctx`.

    Raises:
        SystemFaultError: a stack.json cannot be read.
        EnvironmentProblem: there is no stack, nobody named other servers, and at the usual ports is nothing.
    """
    flags = ctx.find_object(Flags) or Flags()
    data = data_folder(flags.data, os.environ)
    state = StateFile(data).read()
    if state is None and not named(flags, os.environ) and not any(map(listens, _DEFAULTS)):
        raise EnvironmentProblem(
            f"no stack in {data}; `penstock up` starts one (servers of your own: --bootstrap-servers and the like)"
        )
    return choose(flags, os.environ, state, data)


def named(flags: Flags, environ: Mapping[str, str]) -> bool:
    """Whether a flag or a variable says where something is."""
    given = (flags.bootstrap_servers, flags.schema_registry_url, flags.postgres_dsn, flags.object_store_url)
    return any(given) or any(environ.get(name) for name in _VARIABLES)


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def of_stack(state: State, data: Path) -> Endpoints:
    return choose(Flags(), {}, state, data)


def choose(flags: Flags, environ: Mapping[str, str], state: State | None, data: Path) -> Endpoints:
    """Pure: the precedence itself. An empty variable counts as not set."""
    return Endpoints(
        bootstrap_servers=flags.bootstrap_servers
        or environ.get("PENSTOCK_BOOTSTRAP_SERVERS")
        or (state.bootstrap_servers if state else "127.0.0.1:9092"),
        schema_registry_url=flags.schema_registry_url
        or environ.get("PENSTOCK_SCHEMA_REGISTRY_URL")
        or (state.schema_registry_url if state else "http://127.0.0.1:8081"),
        postgres_dsn=flags.postgres_dsn
        or environ.get("PENSTOCK_POSTGRES_DSN")
        or (state.postgres_dsn if state else "postgresql://penstock@127.0.0.1:5432/penstock"),
        object_store_url=flags.object_store_url
        or environ.get("PENSTOCK_OBJECT_STORE_URL")
        or (state.object_store_url if state else (data / "objects").as_uri()),
        fingerprint_key=environ.get("PENSTOCK_FINGERPRINT_KEY") or (state.fingerprint_key if state else None),
        data=data,
    )
