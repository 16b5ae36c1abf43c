"""The enrichment service put together."""

from functools import partial

from penstock.schema.catalogue import load_catalogue
from penstock.schema.codec import Decoder, encoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, stage
from penstock.stream.widen import Widen
from services.enrich.enrich import enrich
from services.enrich.fasttext_language import FastTextLanguage
from services.enrich.settings import EnrichSettings

INPUTS = ("events.unique", "retry.enrich")
MAX_RECORDS = 1000
"""Of a batch: the model takes up to a quarter of a millisecond for each on a slow machine."""
OUTPUT = "events.enriched"


async def build(settings: EnrichSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    topic = load_catalogue().topic(OUTPUT)
    codec = await encoder(registry, "enriched_event", f"{OUTPUT}-value")
    handler = Widen(
        Decoder(registry, "event"),
        partial(enrich, languages=FastTextLanguage()),
        codec.encode,
        OUTPUT,
        topic.max_message_bytes,
    )
    return await stage(host, settings, registry, INPUTS, handler, max_records=MAX_RECORDS)
