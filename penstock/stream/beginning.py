"""How a loop begins: with a broker that may be away, or still choosing who coordinates what."""

import asyncio
from contextlib import suppress

import structlog

from penstock.errors import TransientError
from penstock.stream.meter import Meter
from penstock.stream.port import Broker
from penstock.stream.settings import LoopSettings

log = structlog.get_logger(__name__)


async def begin(broker: Broker, settings: LoopSettings, meter: Meter, stop: asyncio.Event) -> bool:
    """Starts the broker, however long that takes; False where the process was told to stop before.

    Raises:
        PenstockError: waiting does not help; the text says why and what to do.
    """
    failures = 0
    while not stop.is_set():
        meter.progress()
        try:
            await broker.start()
        except TransientError as error:
            failures += 1
            meter.retried(error)
            delay_s = settings.backoff_s(failures)
            log.warning("waiting for Kafka", error=str(error), delay_s=round(delay_s, 3), failures=failures)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await stop.wait()
        else:
            return True
    return False
