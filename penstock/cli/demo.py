"""`penstock demo`: the whole system on recorded events, in a data folder of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

import penstock
from penstock.cli.demo_progress import Panel, Standing
from penstock.cli.endpoints import Endpoints, Flags, of_stack
from penstock.cli.errors import EnvironmentProblem, NotSo
from penstock.cli.overview import Instance, drained, instances
from penstock.cli.progress import ProgressReport
from penstock.cli.signals import interrupting, is_insistent, stop_signals
from penstock.cli.supervisor import SERVICES, Supervisor
from penstock.local.folders import cache_folder, data_folder
from penstock.local.ready import bring_up
from penstock.local.stack import Stack

EVENTS: Mapping[str, int] = {"github": 7_702, "wikipedia": 9_811, "exchange": 428, "weather": 6_595}
"""How many events the samples of each source hold (a test counts them)."""
SOURCES = tuple(EVENTS)
RATE_PER_S = 200.0
DUPLICATES = 0.15
_LOOK_S = 1.0
_DRAIN_S = 60.0
"""How long what is under way may take after Ctrl-C."""
_GIVE_UP_S = 600.0
"""Without any progress for so long, a demo that should drain has failed."""


@click.command()
@click.option("--until-drained", is_flag=True, help="At full speed, and end when all is through.")
@click.pass_context
def demo(ctx: click.Context, *, until_drained: bool) -> None:
    """Recorded events through the whole system, live on a page.

    200 events a second until Ctrl-C, the recordings over and over, each time as new events; or with --until-drained all
    of them once, as fast as it goes, until all is through. Then the services stop, the ledger is printed, and what was
    started goes down.
    """
    started_s = time.monotonic()
    samples = _samples()
    data = data_folder((ctx.find_object(Flags) or Flags()).data, os.environ) / "demo"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ProgressReport(console) as report, interrupting():
        stack = Stack(data, cache_folder(os.environ), report)
        stack.down(volumes=True)
        try:
            state = bring_up(stack, report).state
        except BaseException:
            stack.down(volumes=True)
            raise
    try:
        endpoints = of_stack(state, data)
        console.print(f"stack is up after {time.monotonic() - started_s:.0f} s; its data lie in {data}")
        show = _Demo(endpoints, samples, console, until_drained=until_drained)
        asyncio.run(show.run())
        if show.killed:
            raise NotSo(f"ended at once: {', '.join(show.killed)} had not drained, so nothing was counted")
        with interrupting():
            balanced = _ledger(endpoints, show.manifests)
    finally:
        stack.down()
    console.print(f"took {time.monotonic() - started_s:.0f} s; everything that was started is down")
    if not balanced:
        raise NotSo("the ledger does not balance")


def rates(events: Mapping[str, int], per_s: float) -> dict[str, float]:
    """Each source's share of the rate, so that all last equally long."""
    return {source: per_s * count / sum(events.values()) for source, count in events.items()}


def _samples() -> Path:
    folder = Path(penstock.__file__).parents[1] / "samples"
    if not folder.is_dir():
        raise EnvironmentProblem(f"there are no samples at {folder}: run the demo from a checkout of the repository")
    return folder


def _ledger(endpoints: Endpoints, manifests: list[Path]) -> bool:
    expected = [word for manifest in manifests for word in ("--expect", str(manifest))]
    command = [sys.executable, "-m", "penstock.cli", "--data", str(endpoints.data), "ledger", *expected]
    return subprocess.run(command, check=False, env={**os.environ, **endpoints.environment()}).returncode == 0


@dataclass(slots=True)
class _Replays:
    """How far the replays are, by what they write down."""

    folder: Path

    def progress(self, source: str) -> Path:
        return self.folder / f"{source}.progress.json"

    def manifest(self, source: str) -> Path:
        return self.folder / f"{source}.json"

    def standing(self) -> Standing:
        """Of all of them together; the total is guessed from the share of the bytes read, until it is known.

        A replay without an end has no share, and so no total.
        """
        sent, expected, known = 0, 0.0, 0
        for source in SOURCES:
            with suppress(OSError, json.JSONDecodeError):
                told = json.loads(self.progress(source).read_text())
                sent += told["sent"]
                if told["share"] is not None:
                    expected += told["sent"] / told["share"] if told["share"] > 0 else 0.0
                    known += 1
        return Standing("replay", sent, round(expected) if known == len(SOURCES) else None)


class _Demo:
    def __init__(self, endpoints: Endpoints, samples: Path, console: Console, *, until_drained: bool) -> None:
        self._endpoints = endpoints
        self._samples = samples
        self._console = console
        self._until_drained = until_drained
        self._stop = asyncio.Event()
        self._replays = _Replays(endpoints.data / "run" / "replays")
        self._replays.folder.mkdir(parents=True, exist_ok=True)
        self._logs = endpoints.data / "logs"
        self._supervisor = Supervisor(endpoints.environment(), self._log)
        self._failed: str | None = None
        self._done: set[str] = set()

    @property
    def killed(self) -> list[str]:
        """The processes that were not let to drain."""
        return self._supervisor.killed

    @property
    def manifests(self) -> list[Path]:
        """Of the replays that came to their end: one that was cut short is judged by the ledger's equations alone."""
        return [self._replays.manifest(source) for source in SOURCES if source in self._done]

    async def run(self) -> None:
        """Until drained, or until Ctrl-C; the services are stopped at the end.

        Raises:
            EnvironmentProblem: a service died, or nothing moves any more.
        """
        for number in stop_signals():
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)
        try:
            await self._supervisor.start_services(SERVICES)
            watching = asyncio.create_task(self._watch_services())
            replaying = [asyncio.create_task(self._replay(source)) for source in SOURCES]
            await self._show(replaying)
            await self._end(replaying)
            watching.cancel()
        finally:
            await self._supervisor.stop()
        if self._failed is not None:
            raise EnvironmentProblem(f"{self._failed}; its log is in {self._logs}")

    async def _end(self, replaying: list[asyncio.Task[None]]) -> None:
        """Nothing new is sent; what was sent comes through before the services stop: the ledger judges all of it."""
        if self._failed is None:
            self._say("ending: no more events are sent, those under way come through; Ctrl-C ends at once")
        else:
            self._say(f"ending: {self._failed}")
        stopping = [asyncio.create_task(self._supervisor.stop([f"replay-{source}"])) for source in SOURCES]
        await asyncio.gather(*stopping, *replaying)
        give_up_s = time.monotonic() + _DRAIN_S
        while self._failed is None and not self.killed and time.monotonic() < give_up_s:
            if await self._drained(await instances(self._endpoints.data)):
                return
            await asyncio.sleep(_LOOK_S)

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set() and is_insistent(number):
            self._supervisor.kill()
        self._stop.set()

    def _say(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone; what was started has to go all the same
            self._console.print(text, markup=False)

    def _log(self, name: str, line: str) -> None:
        with (self._logs / f"{name}.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    async def _watch_services(self) -> None:
        """A service that dies ends the demo."""
        waiting = {asyncio.create_task(self._supervisor.wait(name)): name for name in SERVICES}
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self.killed:
            return  # by us, all of them
        first = done.pop()
        self._failed = f"{waiting[first]} ended with exit code {first.result()}"
        self._stop.set()

    async def _replay(self, source: str) -> None:
        name = f"replay-{source}"
        command = ["services.ingest", "replay", str(self._samples / source), "--source", source]
        command += [
            "--manifest",
            str(self._replays.manifest(source)),
            "--progress",
            str(self._replays.progress(source)),
        ]
        command += ["--duplicate", str(DUPLICATES)]
        if not self._until_drained:
            command += ["--rounds", "0", "--rate", f"{rates(EVENTS, RATE_PER_S)[source]:.3f}/s"]
        await self._supervisor.start(name, command)
        code = await self._supervisor.wait(name)
        if code == 0:
            self._done.add(source)
        elif not self._stop.is_set():
            self._failed = f"{name} ended with exit code {code}"
            self._stop.set()

    async def _show(self, replaying: list[asyncio.Task[None]]) -> None:
        moved_s, before = time.monotonic(), -1.0
        told = False
        with Panel(self._console) as panel:
            while not self._stop.is_set():
                seen = await instances(self._endpoints.data)
                panel.show([self._replays.standing(), *self._stages(seen)], time.monotonic())
                if not told and (url := next((one.api for one in seen if one.service == "gateway"), None)):
                    panel.say(f"dashboard: {url}")
                    told = True
                total = sum(one.counts.get("in", 0.0) for one in seen)
                if total != before:
                    moved_s, before = time.monotonic(), total
                elif self._until_drained and time.monotonic() - moved_s > _GIVE_UP_S:
                    self._failed = f"nothing has moved for {_GIVE_UP_S:.0f} s"
                    return
                if self._until_drained and all(task.done() for task in replaying) and await self._drained(seen):
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._stop.wait()

    async def _drained(self, instances: list[Instance]) -> bool:
        ready = {one.service for one in instances if one.state == "ready"}
        return ready.issuperset(SERVICES) and await drained(self._endpoints.bootstrap_servers)

    def _stages(self, instances: list[Instance]) -> list[Standing]:
        """Each stage's count, and what it should come to: the stage before it says."""
        counts = {one.service: one.counts for one in instances}
        replayed = self._replays.standing()
        unique = int(counts.get("dedup", {}).get("unique", 0))
        seen = int(counts.get("dedup", {}).get("in", 0))
        through = round(replayed.expected * unique / seen) if replayed.expected and seen else None
        rest = (service for service in SERVICES if service not in ("ingest", "dedup", "gateway"))
        after = [Standing(service, int(counts.get(service, {}).get("in", 0)), through) for service in rest]
        return [Standing("dedup", seen, replayed.expected), *after]
