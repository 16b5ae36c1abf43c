"""`python -m services.ingest replay`: the arguments, the connections, the manifest and the exit code."""

import argparse
import asyncio
import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from penstock.clock import Clock, SystemClock
from penstock.errors import Category, PenstockError, SystemFaultError
from penstock.schema.codec import encoder
from penstock.schema.registry import Registry
from penstock.settings import SettingsError, load
from penstock.stream.probe import require_metadata
from penstock.stream.publisher import KafkaPublisher
from services.ingest.accept import RAW_TOPIC, Acceptor
from services.ingest.replay.duplicates import Duplicator
from services.ingest.replay.files import PARSERS, find_files
from services.ingest.replay.manifest import was_cut_short, write_json
from services.ingest.replay.run import Recording, Replay
from services.ingest.settings import IngestSettings
from services.ingest.token_bucket import TokenBucket

GOOD, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3

ACK_TIMEOUT_S = 120.0
"""Long enough for a broker that comes back: the client repeats what was not acknowledged, without doubling it."""
PROGRESS_S = 0.5
_PROBE_S = 5.0
"""How long broker and registry are given to answer at the start."""
_BATCHES_PER_S = 10


@dataclass(frozen=True, slots=True)
class Options:
    files: tuple[str, ...]
    source: str
    rate_per_s: float | None
    duplicate: float
    seed: int
    rounds: int
    manifest: Path | None
    progress: Path | None


def main(arguments: Sequence[str]) -> int:
    """The exit code; errors are told on standard error."""
    options = parse(arguments)
    try:
        settings = load(IngestSettings)
    except SettingsError as error:
        return _told(error, USAGE)
    try:
        return asyncio.run(_replay(options, settings))
    except PenstockError as error:
        return _told(error, ENVIRONMENT if error.category in (Category.SYSTEM, Category.TRANSIENT) else FAILED)


def parse(arguments: Sequence[str]) -> Options:
    """Exits with 2 and a usage message where they are wrong."""
    parser = argparse.ArgumentParser("penstock replay", description="Sends recorded files as the events they hold.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders or globs; .gz is unpacked")
    parser.add_argument("--source", required=True, choices=sorted(PARSERS), help="what they are recordings of")
    parser.add_argument("--rate", type=_rate, metavar="N/s", help="events a second; as fast as it goes if not given")
    parser.add_argument("--duplicate", type=_share, default=0.0, metavar="SHARE", help="plant so many exact duplicates")
    parser.add_argument("--seed", type=int, default=0, help="of where the duplicates are planted")
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=1,
        metavar="N",
        help="so many times over, each time as new events; 0: until stopped",
    )
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="write down what was sent, for the ledger")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="keep writing down how far it is")
    found = parser.parse_args(arguments)
    return Options(
        files=tuple(found.files),
        source=found.source,
        rate_per_s=found.rate,
        duplicate=found.duplicate,
        seed=found.seed,
        rounds=found.rounds,
        manifest=found.manifest,
        progress=found.progress,
    )


async def _replay(options: Options, settings: IngestSettings) -> int:
    clock = SystemClock()
    files = find_files(options.files)
    stop = _stop_on_signals()
    async with AsyncExitStack() as closing:
        registry = await closing.enter_async_context(Registry(settings.schema_registry_url, patience_s=_PROBE_S))
        await asyncio.to_thread(require_metadata, settings.bootstrap_servers, _PROBE_S)
        codec = await encoder(registry, "event", f"{RAW_TOPIC}-value")
        publisher = KafkaPublisher(settings.bootstrap_servers, "penstock.replay", timeout_s=ACK_TIMEOUT_S)
        closing.push_async_callback(publisher.close)
        bucket = None
        if options.rate_per_s is not None:
            bucket = TokenBucket(options.rate_per_s, max(1.0, options.rate_per_s / _BATCHES_PER_S))
        replay = Replay(
            Recording(options.source, files, options.rounds),
            Duplicator(options.duplicate, options.seed),
            Acceptor(settings.fingerprinter(), codec.encode, os.urandom),
            publisher,
            bucket,
            clock,
        )
        return await Told(options, files, replay, clock).run(stop)


class Told:
    """A replay that is written down: its manifest from the first moment, its progress while it goes on."""

    def __init__(self, options: Options, files: Sequence[Path], replay: Replay, clock: Clock) -> None:
        self._options = options
        self._files = files
        self._replay = replay
        self._clock = clock
        self._started_s = clock.monotonic_s()
        manifest = options.manifest
        self._repeated = manifest is not None and was_cut_short(manifest, options.source)

    async def run(self, stop: asyncio.Event) -> int:
        self._write_manifest(complete=False)
        self._write_progress("running")
        reporter = asyncio.ensure_future(self._report())
        complete = False
        try:
            complete = await self._replay.run(stop)
        finally:
            reporter.cancel()
            self._write_manifest(complete=complete)
            self._write_progress("done" if complete else "stopped")
        tally = self._replay.tally
        sys.stderr.write(
            f"{tally.source}: {tally.sent:,} events sent, {tally.unique:,} of them different"
            f" ({tally.planted:,} duplicates planted), {sum(tally.skipped.values()):,} of {tally.lines:,} lines skipped"
            f"{'' if complete else '; stopped before the end'}\n"
        )
        return GOOD if complete else FAILED

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            self._write_progress("running")

    def _write_manifest(self, *, complete: bool) -> None:
        if self._options.manifest is not None:
            content = self._replay.tally.manifest(self._files, complete=complete, repeated=self._repeated)
            _write(self._options.manifest, content)

    def _write_progress(self, state: str) -> None:
        if self._options.progress is None:
            return
        tally, took_s = self._replay.tally, self._clock.monotonic_s() - self._started_s
        content = {
            "source": tally.source,
            "state": state,
            "lines": tally.lines,
            "sent": tally.sent,
            "rate_per_s": round(tally.sent / took_s, 1) if took_s > 0 else 0.0,
            "share": self._replay.share,
            "read_bytes": self._replay.read_bytes,
            "total_bytes": self._replay.total_bytes,
            "updated_at": self._clock.now_ms(),
        }
        _write(self._options.progress, content)


def _write(path: Path, content: dict[str, object]) -> None:
    try:
        write_json(path, content)
    except OSError as error:
        raise SystemFaultError(f"{path} cannot be written: {error.strerror}") from error


def _stop_on_signals() -> asyncio.Event:
    """The first signal ends the replay after its batch, a second one at once."""
    stop = asyncio.Event()

    def signalled(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)
    return stop


def _told(error: PenstockError, code: int) -> int:
    way_out = " (is everything up? `penstock status`)" if code == ENVIRONMENT else ""
    sys.stderr.write(f"replay: {error}{way_out}\n")
    return code


def _rate(text: str) -> float:
    rate = _float(text.removesuffix("/s"))
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: a number above 0, e.g. 200/s")
    return rate


def _share(text: str) -> float:
    share = _float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: a number from 0 to 1, e.g. 0.15")
    return share


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds: 1, 2, ..., or 0 for until stopped")
    return int(text)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
