"""The process a service runs in: settings, logs, signals, health, its slot, and the way it ends.

Exit codes: 0 stopped as asked, 1 the service cannot go on, 2 wrong settings, 3 the environment is wrong,
70 the watchdog ended a process that hung.
"""

import asyncio
import faulthandler
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from penstock import collector, logging
from penstock.breaker import BreakerSettings
from penstock.clock import Clock, SystemClock
from penstock.dependency import Dependency
from penstock.errors import Category, PenstockError, classify
from penstock.health import Health
from penstock.metrics import Metrics
from penstock.settings import EXIT_CODE, Settings, SettingsError, load
from penstock.slots import Slot
from penstock.stream.meter import Meter

log = structlog.get_logger(__name__)

EXIT_HUNG = 70

SettingsT = TypeVar("SettingsT", bound=Settings)


class Runnable(Protocol):
    @property
    def ready(self) -> bool: ...

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, then gracefully to its end."""
        ...


class Host:
    """What the process gives the service that is built in it. Whatever is opened goes onto `closing`."""

    def __init__(self, service: str, slot: int, clock: Clock, hang_s: float) -> None:
        self.service = service
        self.slot = slot
        self.clock = clock
        self.hang_s = hang_s
        self.metrics = Metrics()
        self.closing = AsyncExitStack()
        self.endpoints: dict[str, str] = {}
        """Further addresses for DATA/run/<service>.<slot>.json, e.g. `api`; filled in by `build`."""
        self._meters: list[Meter] = []
        self._dependencies: list[Dependency] = []

    @property
    def transactional_id(self) -> str:
        return f"penstock.{self.service}.{self.slot}"

    def meter(self, stage: str) -> Meter:
        """A meter that the watchdog looks at."""
        meter = Meter(stage, self.metrics, self.clock)
        self._meters.append(meter)
        return meter

    def dependency(self, name: str) -> Dependency:
        """A circuit breaker of its own before something outside Kafka, told in /readyz and the metrics."""
        made = Dependency(self.service, name, BreakerSettings(jitter=jitter), self.clock, self.metrics)
        self._dependencies.append(made)
        return made

    def stalled_s(self) -> float:
        """How long ago the slowest loop turned last; 0 before any was made."""
        now_s = self.clock.monotonic_s()
        return max((now_s - meter.last_progress_s for meter in self._meters), default=0.0)

    def why_not_live(self) -> str | None:
        stalled_s = self.stalled_s()
        return f"no progress for {stalled_s:.0f} s\n" if stalled_s > self.hang_s / 2 else None

    def why_not_ready(self, runnable: "Runnable | None") -> str | None:
        if runnable is None:
            return "starting"
        if troubles := [trouble for one in self._dependencies if (trouble := one.trouble) is not None]:
            return "; ".join(troubles)
        if runnable.ready:
            return None
        restoring = [told for meter in self._meters if (told := meter.restoring) is not None]
        return "; ".join(restoring) or "no partitions yet, or about to begin with them"


Build = Callable[[SettingsT, Host], Awaitable[Runnable]]


def run(service: str, settings_type: type[SettingsT], build: Build[SettingsT]) -> None:
    """Runs a service until SIGINT or SIGTERM; exits the process."""
    try:
        settings = load(settings_type)
    except SettingsError as error:
        sys.stderr.write(f"{service}: wrong settings\n{error}\n")
        sys.exit(EXIT_CODE)
    folder = settings.data / "run" if settings.data is not None else None
    try:
        slot = Slot(service, settings.slot, folder)
    except (PenstockError, OSError) as error:
        sys.stderr.write(f"{service}: {error}\n")
        sys.exit(3)
    logging.configure(settings.log_level, service=service, slot=slot.number)
    sys.exit(asyncio.run(_serve(service, slot.number, settings, build, folder)))


async def _serve(service: str, slot: int, settings: SettingsT, build: Build[SettingsT], folder: Path | None) -> int:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    host = Host(service, slot, SystemClock(), settings.hang_s)
    runnable: Runnable | None = None
    health = Health(host.metrics, host.why_not_live, lambda: host.why_not_ready(runnable))
    endpoints: Path | None = None
    try:
        async with host.closing:
            address = await health.start(settings.health_host, settings.health_port)
            runnable = await build(settings, host)
            endpoints = _write_endpoints(folder, host, address)
            _watch(host)
            collector.settle()
            log.info("started", http=address, **host.endpoints)
            await runnable.run(stop)
        log.info("stopped")
    except Exception as error:
        category = classify(error)
        known = isinstance(error, PenstockError)
        log.critical("cannot go on", error=str(error), category=category.value, exc_info=not known)
        return 3 if category is Category.SYSTEM else 1
    finally:
        if endpoints is not None:
            endpoints.unlink(missing_ok=True)
        await health.stop()
    return 0


def jitter() -> float:
    """A factor for pauses, so that processes that failed together do not come back together."""
    return random.uniform(0.5, 1.0)  # noqa: S311  nothing secret


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal drains, a second one ends the process at once."""

    def signalled(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)


def _write_endpoints(folder: Path | None, host: Host, address: str) -> Path | None:
    if folder is None:
        return None
    path = folder / f"{host.service}.{host.slot}.json"
    content = {
        "service": host.service,
        "slot": host.slot,
        "pid": os.getpid(),
        "http": address,
        "started_at": host.clock.now_ms(),
        **host.endpoints,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(path)
    return path


def _watch(host: Host) -> None:
    """A thread, since a handler that hangs may hold the event loop itself."""

    def watch() -> None:
        pause = threading.Event()
        while not pause.wait(min(1.0, host.hang_s / 10)):
            stalled_s = host.stalled_s()
            if stalled_s > host.hang_s:
                with suppress(Exception):
                    log.critical("hung, ending the process", stalled_s=round(stalled_s), limit_s=host.hang_s)
                    faulthandler.dump_traceback()  # where every thread stands: the one thing a restart would lose
                os._exit(EXIT_HUNG)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
