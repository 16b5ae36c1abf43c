"""The sentiment service put together."""

from functools import partial

from penstock.schema.catalogue import load_catalogue
from penstock.schema.codec import Decoder, encoder
from penstock.service import Host, Runnable
from penstock.stage import registry_of, stage
from penstock.stream.widen import Widen
from services.sentiment.lexicon import Lexicon
from services.sentiment.score import score
from services.sentiment.settings import SentimentSettings

INPUTS = ("events.enriched", "retry.sentiment")
MAX_RECORDS = 1000
"""Of a batch: the model takes up to a quarter of a millisecond for each on a slow machine."""
OUTPUT = "events.scored"


async def build(settings: SentimentSettings, host: Host) -> Runnable:
    registry = await registry_of(host, settings)
    topic = load_catalogue().topic(OUTPUT)
    codec = await encoder(registry, "scored_event", f"{OUTPUT}-value")
    handler = Widen(
        Decoder(registry, "enriched_event"),
        partial(score, model=Lexicon()),
        codec.encode,
        OUTPUT,
        topic.max_message_bytes,
    )
    return await stage(host, settings, registry, INPUTS, handler, max_records=MAX_RECORDS)
