"""One run: the whole system under load, faults in all lanes at once, and the verdict at the end."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.local.state import kafka_parts
from tests.chaos import plan
from tests.chaos.feed import Feed, Posts, Replays, Strangers
from tests.chaos.fleet import READY_WITHIN_S, Fleet
from tests.chaos.follower import Follower
from tests.chaos.judge import Finding
from tests.chaos.plan import Fault
from tests.chaos.reader import LiveReader
from tests.chaos.report import Report, Struck
from tests.chaos.stack import CAUGHT_UP_WITHIN_S, ChaosStack
from tests.chaos.verdict import verdict

_SETTINGS = {
    # So that many files are closed in a short time.
    "PENSTOCK_SINK_S3_FLUSH_IDLE_S": "0.5",
    "PENSTOCK_SINK_S3_FLUSH_AGE_S": "3",
    # What piled up behind a fault comes at once: room for all of it, so that nothing need be dropped.
    "PENSTOCK_GATEWAY_QUEUE_EVENTS": "100000",
    "PENSTOCK_GATEWAY_QUEUE_BYTES": "268435456",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Attributes:
        minutes: how long faults go on; None: each once.
        lanes: which lanes strike; all if empty.
        commands, variables: what a service is started as and with, by service, where that is not the usual.
        settle_s: with no lane at all, how long events flow before the verdict.
    """

    seed: int
    nodes: int = 3
    minutes: float | None = None
    rate_per_s: float = 60.0
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lanes: Mapping[str, Sequence[Fault]] | None = None
    ledger_timeout_s: float = 240.0


def say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


class Campaign:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self._settings = settings
        self._folder = folder
        self._stack = ChaosStack(folder / "data", settings.nodes)
        self._struck: list[Struck] = []
        self._deadline_s = 0.0

    async def run(self) -> Report:
        """Raises AssertionError where something did not come back or did not end well; judging is the report's."""
        started_s = time.monotonic()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._stack.down)
            await self._stack.up()
            environment = {**_SETTINGS, **self._stack.environment()}
            fleet = Fleet(self._stack.data, self._folder, environment, self._settings.commands)
            closing.push_async_callback(fleet.close)
            await asyncio.gather(*(fleet.start(service) for service in plan.SERVICES))
            say(f"all ready after {time.monotonic() - started_s:.0f} s")
            live = closing.enter_context(LiveReader(environment["PENSTOCK_BOOTSTRAP_SERVERS"], "events.scored"))
            follower = Follower(lambda: fleet.endpoints("gateway").get("api"))
            following = asyncio.create_task(follower.run())
            closing.push_async_callback(_cancelled, following)
            async with asyncio.timeout(30):
                await follower.connected.wait()
            feed = await self._under_load(fleet, environment, following)
            say("drained of faults; judging")
            await self._stack.caught_up("ingest")  # the ledger begins behind it, at events.raw
            ledger = await self._stack.ledger(feed.replays.manifests, self._settings.ledger_timeout_s)
            findings = await verdict(environment, feed.doors, live, follower)
            codes = await fleet.stop()
            assert set(codes.values()) == {0}, f"not all services drained: {codes}"
            return self._report(time.monotonic() - started_s, fleet, ledger, findings, live)

    async def _under_load(self, fleet: Fleet, environment: Mapping[str, str], following: "asyncio.Task[None]") -> Feed:
        """Until no fault is left to come, and all that was begun to be fed has been."""
        stop = asyncio.Event()
        feed = Feed(
            Replays(self._folder, environment, self._settings.rate_per_s),
            Posts(lambda: fleet.endpoints("ingest").get("api")),
            await asyncio.to_thread(Strangers, environment),
        )
        feeding = feed.run(stop)
        self._deadline_s = time.monotonic() + (self._settings.minutes or 0.0) * 60
        lanes = [
            asyncio.create_task(self._cut(faults) if name == plan.OBJECTS else self._strike(fleet, faults))
            for name, faults in self._lanes().items()
        ]
        try:
            await _all_or_first_failure([*lanes, *feeding, following], until=lanes)
            stop.set()
            await _all_or_first_failure([*feeding, following], until=feeding)
        finally:
            for task in (*lanes, *feeding):
                task.cancel()
            await asyncio.gather(*lanes, *feeding, return_exceptions=True)
        return feed

    def _lanes(self) -> dict[str, Iterator[Fault]]:
        nodes = kafka_parts(self._settings.nodes)
        if self._settings.lanes is not None:
            return {name: iter(lane) for name, lane in self._settings.lanes.items()}
        once = plan.once(self._settings.seed, nodes)
        if self._settings.minutes is None:
            return {name: iter(lane) for name, lane in once.items()}
        return {name: plan.endless(self._settings.seed, name, nodes) for name in once}

    async def _strike(self, fleet: Fleet, faults: Iterator[Fault]) -> None:
        async for fault in self._due(faults):
            target = self._stack.controller() if fault.target == plan.CONTROLLER else fault.target
            began_s = time.monotonic()
            away_s = await self._befall(fleet, fault, target)
            self._overcome(fault, time.monotonic() - began_s - away_s)

    async def _cut(self, faults: Iterator[Fault]) -> None:
        """The object store's lane does not wait until the sink has caught up, which may be struck meanwhile itself: it
        would strike too seldom."""
        try:
            async with asyncio.TaskGroup() as recovering:
                async for fault in self._due(faults):
                    await self._stack.cut_objects(fault.length_s)
                    recovering.create_task(self._sink_caught_up(fault))
        except ExceptionGroup as failed:  # what failed first is the reason, as in any other lane
            raise failed.exceptions[0] from None

    async def _sink_caught_up(self, fault: Fault) -> None:
        began_s = time.monotonic()
        # It may be killed in this moment, by a lane that gives it as long to come back and then to catch up.
        await self._stack.caught_up("sink-s3", within_s=READY_WITHIN_S + CAUGHT_UP_WITHIN_S)
        self._overcome(fault, time.monotonic() - began_s)

    async def _due(self, faults: Iterator[Fault]) -> AsyncIterator[Fault]:
        """Each when its time has come, until the run's is over."""
        for fault in faults:
            await asyncio.sleep(fault.wait_s)
            if self._settings.minutes is not None and time.monotonic() >= self._deadline_s:
                return
            yield fault

    def _overcome(self, fault: Fault, took_s: float) -> None:
        self._struck.append(Struck(fault.kind, fault.target, took_s))
        say(f"{fault.kind} of {fault.target}: back after {took_s:.1f} s")

    async def _befall(self, fleet: Fleet, fault: Fault, target: str) -> float:
        """Lets it happen and waits until it is overcome; the seconds that were meant to pass."""
        if fault.kind == "kill -9 and restart":
            await self._stack.restart(target, fault.length_s)
            return fault.length_s
        if fault.kind == plan.SCALING:
            return await self._scale(fleet, fault)
        instance = fleet.instance(target)
        match fault.kind:
            case "kill -9":
                await fleet.kill(instance)
            case "SIGTERM":
                code = await fleet.terminate(instance)
                assert code == 0, f"{instance.name} ended with {code} when asked to drain:\n{fleet.tail(instance)}"
            case plan.MID_TRANSACTION:
                await fleet.die_at(instance, f"{instance.service}.before-commit:5")
            case _:
                await fleet.freeze(instance, fault.length_s)
        await fleet.ready(instance)
        await self._caught_up(target)
        return fault.length_s

    async def _caught_up(self, service: str) -> None:
        """A frozen process may call itself ready before it learns that its partitions were given away."""
        if service != "gateway":  # it reads without a group; what it missed the follower will miss
            await self._stack.caught_up(service)

    async def _scale(self, fleet: Fleet, fault: Fault) -> float:
        """Two come, the first sleeps past its session while they take over, and both go: one gently, one not."""
        first, *others = [fleet.instance(fault.target, slot) for slot in range(3)]
        await asyncio.gather(*(fleet.start(fault.target, other.slot) for other in others))
        await fleet.freeze(first, fault.length_s)
        await fleet.ready(first)
        for other in others:
            other.wanted = False
        gone = await asyncio.gather(fleet.terminate(others[0]), fleet.kill(others[1]))
        assert gone[0] == 0, f"{others[0].name} did not drain:\n{fleet.tail(others[0])}"
        await fleet.ready(first)
        await self._caught_up(fault.target)
        return fault.length_s

    def _report(
        self,
        took_s: float,
        fleet: Fleet,
        ledger: Mapping[str, object],
        findings: Sequence[Finding],
        live: LiveReader,
    ) -> Report:
        return Report(
            seed=self._settings.seed,
            nodes=self._settings.nodes,
            took_s=took_s,
            struck=tuple(self._struck),
            findings=tuple(findings),
            ledger=ledger,
            ended=tuple(fleet.ended),
            longest_silence_s=live.longest_silence_s,
        )


async def _all_or_first_failure(tasks: Sequence["asyncio.Task[None]"], until: Sequence["asyncio.Task[None]"]) -> None:
    """Returns when all of `until` are done; raises as soon as one of `tasks` fails."""
    while not all(task.done() for task in until):
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
