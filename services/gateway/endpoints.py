"""Where the services are: the endpoints files in DATA/run, and a list for deployments that have no such folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from services.gateway.scrape import Instance


def read_endpoints(run: Path | None, listed: Sequence[Instance]) -> list[Instance]:
    """All instances known now, by service and slot. A file that is not whole (yet) is left for the next look."""
    found = {instance.name: instance for instance in listed}
    if run is not None and run.is_dir():
        for path in sorted(run.glob("*.json")):
            instance = _parse(path)
            if instance is not None:
                found[instance.name] = instance
    return [instance for instance in found.values() if not _is_left_over(instance, found.values())]


def _is_left_over(instance: Instance, known: Iterable[Instance]) -> bool:
    """A killed process leaves its file behind, and its port to whoever starts next, whose file is newer."""
    return any(other.url == instance.url and other.started_at_ms > instance.started_at_ms for other in known)


def _parse(path: Path) -> Instance | None:
    try:
        match orjson.loads(path.read_bytes()):
            case {"service": str(service), "slot": int(slot), "http": str(url), "pid": int(pid), "started_at": int(at)}:
                return Instance(service, slot, url, pid, at)
    except (OSError, orjson.JSONDecodeError):
        return None
    return None
