"""A stage put together: what each service's app.py hands its handler or its sink to."""

from collections.abc import Sequence

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from penstock.errors import TransientError
from penstock.retries import KAFKA, BeforeSleep, Retries
from penstock.schema.codec import SchemaStore, encoder
from penstock.schema.registry import Registry
from penstock.service import Host, jitter
from penstock.settings import Settings, StageSettings
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Handler, Sink, State
from penstock.stream.kafka import KafkaBroker
from penstock.stream.kafka_config import ClientSettings
from penstock.stream.loop import Loop
from penstock.stream.settings import LoopSettings
from penstock.stream.sink_loop import SinkLoop

_LOOK_UP_S = 1.0
_START_PATIENCE_S = 60.0
"""How long a service that starts waits for Kafka to say what its topics are, and for the registry, before it ends."""


async def registry_of(host: Host, settings: Settings) -> Registry:
    """The schema registry, closed with the process.

    At the start it is waited for; a stage in the middle of a batch soon gives up, polls on, and is told when to ask
    again.
    """
    attempting = host.dependency("registry").attempt
    registry = Registry(
        settings.schema_registry_url,
        patience_s=_START_PATIENCE_S,
        look_up_patience_s=_LOOK_UP_S,
        attempting=attempting,
    )
    return await host.closing.enter_async_context(registry)


async def stage(
    host: Host,
    settings: StageSettings,
    registry: SchemaStore,
    topics: Sequence[str],
    handler: Handler,
    state: State | None = None,
    *,
    max_records: int = 5000,
) -> Loop:
    """A transactional stage named as its service, reading `topics` as group `penstock.<service>`.

    `max_records` bounds a batch, whose handling must stay far below the transaction's time-out even on a busy machine.
    """
    broker = _broker(host, settings, host.service, topics)
    letters = await _dead_letters(host, broker, registry, host.service, topics)
    loop_settings = LoopSettings(host.service, max_records=max_records, valve=settings.valve, jitter=jitter)
    return Loop(broker, handler, letters, loop_settings, host.clock, host.meter(host.service), state)


async def sink_stage(
    host: Host, settings: StageSettings, registry: SchemaStore, name: str, topics: Sequence[str], sink: Sink
) -> SinkLoop:
    """A sink, reading `topics` as group `penstock.<name>`."""
    broker = _broker(host, settings, name, topics)
    letters = await _dead_letters(host, broker, registry, name, topics)
    loop_settings = LoopSettings(name, valve=settings.valve, jitter=jitter)
    return SinkLoop(broker, sink, letters, loop_settings, host.clock, host.meter(name))


def _broker(host: Host, settings: Settings, stage: str, topics: Sequence[str]) -> KafkaBroker:
    return KafkaBroker(
        ClientSettings(
            settings.bootstrap_servers,
            group=f"penstock.{stage}",
            topics=tuple(topics),
            transactional_id=f"penstock.{stage}.{host.slot}",
        )
    )


async def _dead_letters(
    host: Host, broker: KafkaBroker, registry: SchemaStore, stage: str, topics: Sequence[str]
) -> DeadLetters:
    codec = await encoder(registry, "dead_letter", f"dlq.{stage}-value")
    patiently = _patiently(Retries(stage, host.metrics).of(KAFKA))
    topic_ids: dict[str, str] = {topic: await patiently(broker.topic_id, topic) for topic in topics}
    return DeadLetters(stage, codec.encode, topic_ids, host.clock)


def _patiently(before_sleep: BeforeSleep) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
        stop=stop_after_delay(_START_PATIENCE_S),
        before_sleep=before_sleep,
        reraise=True,
    )
