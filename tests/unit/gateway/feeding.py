"""Events for the gateway's unit tests: the smallest that have what the fan-out looks at."""

from services.gateway.feed import Item, Recent
from services.gateway.filters import Facets
from services.gateway.hub import Hub, QueueLimit


def item(offset: int, partition: int = 0, source: str = "github", size: int = 10) -> Item:
    frame = f"{partition}:{offset}".encode().ljust(size)
    return Item(partition, offset + 1, offset, frame, Facets(source, "activity", "en", "neutral", ()))


def name(event: Item) -> str:
    return event.frame.decode().strip()


def hub(*, partitions: int = 1, start: int = 0, recent: int = 100, queue: int = 10, queue_bytes: int = 10_000) -> Hub:
    kept = Recent(dict.fromkeys(range(partitions), start), max_events=recent, max_bytes=1_000_000)
    return Hub(kept, QueueLimit(queue, queue_bytes))
