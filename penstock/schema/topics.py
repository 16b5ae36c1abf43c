"""Topics of the catalogue made true in a cluster, and what a cluster has of them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported, untyped
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from penstock.errors import PermanentError, TransientError
from penstock.schema.catalogue import Catalogue
from penstock.schema.plan import Creation, Existing, Plan, plan, starts
from penstock.stream import offsets
from penstock.stream.offsets import Place

_T = TypeVar("_T")

_REQUEST_S = 5.0
_DESCRIBE_S = 3.0
_TRANSIENT = {
    KafkaError._TRANSPORT,  # noqa: SLF001  the client's public codes
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  the client's public codes
    KafkaError._TIMED_OUT,  # noqa: SLF001  the client's public codes
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._NOENT,  # noqa: SLF001  "No leaders found", when offsets are listed
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # for a moment after its creation
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._WAIT_COORD,  # noqa: SLF001  the client's public codes
}


@dataclass(slots=True)
class TopicReport:
    """What `apply` did, and what it could or would not do."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    topics: int = 0

    def lines(self) -> list[str]:
        return [*self.done, *(f"problem: {problem}" for problem in self.problems)]


@dataclass(frozen=True, slots=True)
class Ends:
    """Offsets of one partition: the first record there is, and the next to be written."""

    begin: int
    end: int


class Topics:
    """The topics of one cluster, as its admin sees them.

    Every method waits out brokers that are away for `patience_s`, then raises TransientError.
    """

    def __init__(self, bootstrap_servers: str, *, patience_s: float = 10.0) -> None:
        self._servers = bootstrap_servers
        self._patience_s = patience_s
        # Its own complaints about brokers that are away would stand between ours.
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    async def apply(
        self, catalogue: Catalogue, *, partitions: int | None = None, from_start: Sequence[str] = ()
    ) -> TopicReport:
        """Creates what is missing, aligns settings, and gives every reading group its start; twice is as good as once.

        A group's offsets, where it has any, are left alone; where it has none, offset 0 is committed if the topic was
        never written to, or if the group is named in `from_start`; else that is a problem.
        """
        brokers, existing = await self.existing(catalogue)
        planned = plan(catalogue, existing, brokers, partitions)
        report = TopicReport(problems=list(planned.problems), topics=len(catalogue.topics))
        fresh = set()
        for creation, creating in self._creating(planned.create):
            if await self._created(creation, creating):
                fresh.add(creation.topic.name)
                report.done.append(
                    f"created {creation.topic.name}: {creation.partitions} partitions, {creation.replication} replicas"
                )
        await self._change(planned, report)
        if planned.create or planned.alter or planned.grow:
            await self._patiently(lambda: self._seen(catalogue, partitions))
        counts = {name: found.partitions for name, found in existing.items()}
        counts |= {creation.topic.name: creation.partitions for creation in planned.create}
        for group, places in starts(catalogue.topics, counts).items():
            await self._start(group, places, fresh, report, forced=group in from_start)
        return report

    async def existing(self, catalogue: Catalogue) -> tuple[int, dict[str, Existing]]:
        """How many brokers there are, as far as can be known, and those topics of the catalogue that exist."""
        return await self._patiently(lambda: self._existing(catalogue))

    async def _existing(self, catalogue: Catalogue) -> tuple[int, dict[str, Existing]]:
        # Always asked first: the client goes on looking for a broker that died, if that was the one to answer what
        # follows (KRaft names any broker as the one for that), until metadata name another.
        metadata = await self._metadata()
        names = [topic.name for topic in catalogue.topics if topic.name in metadata.topics]
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
        asked = list(resources.values())
        configs = self._admin.describe_configs(asked, request_timeout=_DESCRIBE_S) if names else {}
        found = {}
        for name, resource in resources.items():
            spoken_of = catalogue.topic(name).kafka_configs(1)
            entries = await self._settled(configs[resource], f"the settings of {name}")
            held = {key: str(entry.value) for key, entry in entries.items() if key in spoken_of}
            rows = metadata.topics[name].partitions
            found[name] = Existing(len(rows), len(rows[0].replicas), held)
        return max(len(metadata.brokers), await self._default_replicas(metadata)), found

    async def _default_replicas(self, metadata: Any) -> int:
        """What the cluster gives a topic by itself: tells of brokers that are away now, which metadata do not list."""
        for broker in metadata.brokers:
            resource = ConfigResource(ResourceType.BROKER, str(broker))
            (future,) = self._admin.describe_configs([resource], request_timeout=_DESCRIBE_S).values()
            # Dead and still listed, or we may be allowed to ask for topics alone.
            with suppress(TransientError, PermanentError):
                configs = await self._settled(future, f"the settings of broker {broker}")
                return int(configs["default.replication.factor"].value)
        return 1

    async def ends(self, counts: Mapping[str, int]) -> dict[Place, Ends]:
        """Begin and end of every partition of the topics in `counts`, which maps them to their partition count."""
        places = [(name, number) for name, count in counts.items() for number in range(count)]

        async def ask(spec: OffsetSpec) -> dict[Place, int]:
            if not places:
                return {}
            futures = self._admin.list_offsets({TopicPartition(*place): spec for place in places})
            for at, future in futures.items():
                await self._settled(future, f"the offsets of {at.topic}")
            with self._classifying("the offsets"):
                return {(at.topic, at.partition): offset for at, offset in offsets.listed(futures).items()}

        begins = await self._patiently(lambda: ask(OffsetSpec.earliest()))  # type: ignore[no-untyped-call]  # the client's
        latest = await self._patiently(lambda: ask(OffsetSpec.latest()))  # type: ignore[no-untyped-call]  # the client's
        return {place: Ends(begins[place], latest[place]) for place in places}

    async def committed(self, group: str, places: Sequence[Place]) -> dict[Place, int | None]:
        """A group's committed offsets; None where it has none."""

        async def ask() -> dict[Place, int | None]:
            with self._classifying(f"the offsets of group {group}"):
                return await offsets.committed(self._servers, group, places)

        return await self._patiently(ask)

    async def _metadata(self) -> Any:
        with self._classifying("the list of topics"):
            return await asyncio.to_thread(self._admin.list_topics, timeout=min(_REQUEST_S, self._patience_s))

    async def _seen(self, catalogue: Catalogue, partitions: int | None) -> None:
        """Raises TransientError until the brokers, which follow the controller, show what was done."""
        brokers, existing = await self._existing(catalogue)
        left = plan(catalogue, existing, brokers, partitions)
        if left.create or left.alter or left.grow:
            names = sorted({*(creation.topic.name for creation in left.create), *left.alter, *left.grow})
            raise TransientError(f"Kafka at {self._servers} does not show yet what was done to {', '.join(names)}")

    def _creating(self, creations: Sequence[Creation]) -> "list[tuple[Creation, Future[None]]]":
        """All in one request: the controller has a few round trips to the other nodes for each."""
        new = [
            NewTopic(creation.topic.name, creation.partitions, creation.replication, config=creation.configs)
            for creation in creations
        ]
        futures = self._admin.create_topics(new) if new else {}
        return [(creation, futures[creation.topic.name]) for creation in creations]

    async def _created(self, creation: Creation, creating: "Future[None]") -> bool:
        """False where somebody else was quicker, who applies too."""
        try:
            await self._settled(creating, f"the creation of {creation.topic.name}")
        except PermanentError as error:
            if (
                isinstance(error.__cause__, KafkaException)
                and _code(error.__cause__) == KafkaError.TOPIC_ALREADY_EXISTS
            ):
                return False
            raise
        return True

    async def _change(self, planned: Plan, report: TopicReport) -> None:
        for name, count in planned.grow.items():
            future = self._admin.create_partitions([NewPartitions(name, count)])[name]
            await self._settled(future, f"more partitions for {name}")
            report.done.append(f"gave {name} {count} partitions")
        for name, configs in planned.alter.items():
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in configs.items()
            ]
            resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
            (future,) = self._admin.incremental_alter_configs([resource]).values()
            await self._settled(future, f"the settings of {name}")
            report.done.append(f"set {name}: {', '.join(f'{key}={value}' for key, value in configs.items())}")

    async def _start(
        self, group: str, places: Sequence[Place], fresh: Collection[str], report: TopicReport, *, forced: bool
    ) -> None:
        committed = await self.committed(group, places)
        missing = [place for place in places if committed[place] is None]
        old = {name: 1 + number for name, number in missing if name not in fresh}
        # The client remembers for half a minute that a topic was not there, so it is not asked about fresh ones.
        ends = {place: Ends(0, 0) for place in missing} | await self.ends(old)
        chosen = {place: ends[place].begin for place in missing if forced or ends[place].end == 0}
        if chosen:
            await self.commit(group, chosen)
            report.done += [f"{group} starts {name} at its beginning" for name in _names(chosen)]
        left = [place for place in missing if place not in chosen]
        for name in _names(left):
            numbers = ", ".join(str(number) for at, number in left if at == name)
            report.problems.append(
                f"{group} has no offset for {name}[{numbers}], which holds records already: its service will not start."
                f" Were they never read, or may they be read again, run `penstock topics apply --from-start {group}`"
            )

    async def commit(self, group: str, starts_at: Mapping[Place, int]) -> None:
        """Commits offsets for a group, which may not have a member by then, nor exist."""

        async def ask() -> None:
            with self._classifying(f"the start of group {group}"):
                await offsets.commit(self._servers, group, starts_at)

        await self._patiently(ask)

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        ):
            with attempt:
                return await ask()
        raise AssertionError("unreachable")

    async def _settled(self, future: "Future[_T]", what: str) -> _T:
        with self._classifying(what):
            return await asyncio.wrap_future(future)

    @contextmanager
    def _classifying(self, what: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            said = error.args[0].str()
            if _code(error) in _TRANSIENT:
                raise TransientError(f"Kafka at {self._servers} does not answer for {what}: {said}") from error
            raise PermanentError(f"Kafka at {self._servers} refuses {what}: {said}") from error


def _names(places: Iterable[Place]) -> list[str]:
    return sorted({name for name, _ in places})


def _code(error: KafkaException) -> int:
    code: int = error.args[0].code()
    return code
