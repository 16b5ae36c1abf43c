"""Dedup put together."""

from penstock.fingerprint import FINGERPRINT_VERSION
from penstock.schema.catalogue import Catalogue, load_catalogue
from penstock.schema.codec import encoder
from penstock.schema.topics import Topics
from penstock.service import Host, Runnable
from penstock.stage import registry_of, stage
from services.dedup.gauges import Gauges
from services.dedup.handler import Dedup
from services.dedup.handler import Topics as Outputs
from services.dedup.settings import DedupSettings
from services.dedup.state import SeenState, WindowSettings

INPUT = "events.raw"
CHANGELOG = "dedup.seen"


async def build(settings: DedupSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    codec = await encoder(registry, "duplicate", f"{Outputs().duplicates}-value")
    await _check_grace(settings)
    window = WindowSettings(settings.window_s * 1000, settings.grace_s * 1000, FINGERPRINT_VERSION)
    gauges = Gauges(host.service, host.metrics)
    state = SeenState(CHANGELOG, window, host.clock, gauges)
    handler = Dedup(state, codec.encode, Outputs(), gauges.count)
    return await stage(host, settings, registry, [INPUT], handler, state)


async def _check_grace(settings: DedupSettings) -> None:
    catalogue = load_catalogue()
    _, existing = await Topics(settings.bootstrap_servers).existing(Catalogue((catalogue.topic(INPUT),)))
    if (found := existing.get(INPUT)) is not None:  # else the stage says that it is missing
        settings.check_against(INPUT, found.configs)
