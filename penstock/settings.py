"""Settings come from the environment, are parsed once at the start, and never change.

A service subclasses `Settings` in services/<service>/settings.py:

    class DedupSettings(Settings, env_prefix="PENSTOCK_DEDUP_"):
        window_s: int = Field(86_400, gt=0)      # PENSTOCK_DEDUP_WINDOW_S
        postgres_dsn: str = shared("POSTGRES_DSN")  # PENSTOCK_POSTGRES_DSN, for several services the same

and its `__main__` calls `load(DedupSettings)`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from penstock.errors import Category, PenstockError
from penstock.stream.valve import ValveSettings

PREFIX = "PENSTOCK_"
EXIT_CODE = 2
"""Of a process whose settings are wrong: the same as for wrong usage of the command line."""

_MAX_SHOWN_CHARS = 200
_SECRET_WORDS = ("token", "key", "password", "secret", "dsn")
"""A field so named is never printed: it is a credential, or holds one."""


class SettingsError(PenstockError):
    """A setting is missing, unknown or not allowed; the text names the variable."""

    category = Category.SYSTEM


def shared(name: str, default: Any = ..., **constraints: Any) -> Any:
    """A field read from PENSTOCK_<name>, whatever the service's own prefix; required without a default."""
    return Field(default, validation_alias=PREFIX + name, **constraints)


class Settings(BaseSettings):
    """What every service has. A subclass gives its own `env_prefix`, e.g. `PENSTOCK_DEDUP_`."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=PREFIX, populate_by_name=True, env_ignore_empty=True, extra="forbid"
    )

    bootstrap_servers: str = shared("BOOTSTRAP_SERVERS", description="Kafka's addresses, host:port[,host:port]")
    schema_registry_url: str = shared(
        "SCHEMA_REGISTRY_URL", description="where the registry's Confluent REST API begins"
    )
    data: Path | None = shared("DATA", None, description="folder for endpoint files, as `penstock run` sets it")
    slot: int | None = shared("SLOT", None, ge=0, description="which of several processes of a service this one is")
    health_host: str = shared("HEALTH_HOST", "127.0.0.1", description="where /livez, /readyz and /metrics are served")
    health_port: int | None = shared("HEALTH_PORT", None, ge=1, le=65535, description="none: the first free from 8430")
    hang_s: float = shared(
        "HANG_S", 60.0, gt=0, description="a loop that stands still for so long ends its process; /livez says so before"
    )
    log_level: Literal["debug", "info", "warning", "error"] = shared(
        "LOG_LEVEL", "info", description="how much is logged"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `load` hands over alone: no .env file that happens to lie in the working directory."""
        return (init_settings,)


class StageSettings(Settings):
    """What every service has that reads from Kafka, writes back, and keeps dead letters."""

    dead_letter_share: float = shared(
        "DEAD_LETTER_SHARE", 0.5, gt=0, le=1,
        description="of the records; beyond it a stage stops and says why; 1: never",
    )  # fmt: skip
    dead_letter_window_s: float = shared("DEAD_LETTER_WINDOW_S", 60.0, gt=0, description="how far back the share looks")
    dead_letter_least: int = shared("DEAD_LETTER_LEAST", 1000, gt=0, description="records there must be to judge it")

    @property
    def valve(self) -> ValveSettings:
        setting = variable(type(self), "dead_letter_share")
        return ValveSettings(self.dead_letter_share, self.dead_letter_window_s, self.dead_letter_least, setting)


SettingsT = TypeVar("SettingsT", bound=Settings)


def variable(settings: type[Settings], field: str) -> str:
    """The environment variable that a field is read from."""
    alias = settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{settings.model_config.get('env_prefix', PREFIX)}{field}".upper()


def load(settings: type[SettingsT], environ: Mapping[str, str] = os.environ) -> SettingsT:
    """The settings out of the environment; a variable that is set to nothing counts as not set.

    Raises:
        SettingsError: every variable that is missing, unknown or not allowed, with what is allowed, a line each.
    """
    known = {variable(settings, name): info for name, info in settings.model_fields.items()}
    prefix = str(settings.model_config.get("env_prefix", PREFIX))
    problems = [
        f"{name} is not a setting; there are {', '.join(sorted(own for own in known if own.startswith(prefix)))}"
        for name in sorted(environ)
        if prefix != PREFIX and name.startswith(prefix) and name not in known
    ]
    stated: dict[str, Any] = {name: environ.get(variable(settings, name), "") for name in settings.model_fields}
    loaded = None
    try:
        loaded = settings(**{name: value for name, value in stated.items() if value})
    except ValidationError as error:
        problems.extend(_problem(settings, known, detail) for detail in error.errors(include_url=False))
    if loaded is None or problems:
        raise SettingsError("\n".join(problems))
    return loaded


def _problem(settings: type[Settings], known: Mapping[str, FieldInfo], detail: ErrorDetails) -> str:
    if not detail["loc"]:  # about several settings at once; the message names them, and the input may hold secrets
        return _shown(detail["msg"].removeprefix("Value error, "))
    where = str(detail["loc"][0])
    name = where if where in known else variable(settings, where) if where in settings.model_fields else where
    info = known.get(name)
    meaning = f" ({info.description})" if info is not None and info.description else ""
    if detail["type"] == "missing":
        return f"{name} is not set{meaning}"
    if any(word in name.lower() for word in _SECRET_WORDS):
        return f"{name} is not allowed: {detail['msg'].removeprefix('Value error, ')}{meaning}"
    return f"{name}={_shown(str(detail['input']))} is not allowed: {detail['msg']}{meaning}"


def _shown(value: str) -> str:
    """A value on one line, whatever it holds."""
    return (value if value.isprintable() else ascii(value)[1:-1])[:_MAX_SHOWN_CHARS]
