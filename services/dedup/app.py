"""Dedup put together."""

from penstock.fingerprint import FINGERPRINT_VERSION
from penstock.schema.codec import encoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, stage
from services.dedup.gauges import Gauges
from services.dedup.handler import Dedup, Topics
from services.dedup.settings import DedupSettings
from services.dedup.state import SeenState, WindowSettings

INPUT = "events.raw"
CHANGELOG = "dedup.seen"


async def build(settings: DedupSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    codec = await encoder(registry, "duplicate", f"{Topics().duplicates}-value")
    window = WindowSettings(settings.window_s * 1000, settings.grace_s * 1000, FINGERPRINT_VERSION)
    gauges = Gauges(host.service, host.metrics)
    state = SeenState(CHANGELOG, window, host.clock, gauges)
    handler = Dedup(state, codec.encode, Topics(), gauges.count)
    return await stage(host, settings, registry, [INPUT], handler, state)
