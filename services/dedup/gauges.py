"""What dedup tells about itself beside the loop's own metrics."""

from contextlib import suppress

from penstock import metrics
from penstock.metrics import Metrics


class Gauges:
    """Implements services.dedup.state.Report."""

    def __init__(self, stage: str, table: Metrics) -> None:
        self._stage = stage
        self._records = table.counter(metrics.RECORDS)
        self._entries = table.gauge(metrics.SEEN_ENTRIES)
        self._bytes = table.gauge(metrics.SEEN_BYTES)
        self._watermark = table.gauge(metrics.WATERMARK)

    def count(self, outcome: str, records: int) -> None:
        """How many records of a batch were unique, duplicate or late; counted again if the batch is taken again."""
        if records:
            self._records.labels(self._stage, outcome).inc(records)

    def holds(self, partition: int, entries: int, size_bytes: int, watermark_ms: int) -> None:
        labels = self._stage, str(partition)
        self._entries.labels(*labels).set(entries)
        self._bytes.labels(*labels).set(size_bytes)
        if watermark_ms >= 0:
            self._watermark.labels(*labels).set(watermark_ms / 1000)

    def dropped(self, partition: int) -> None:
        """Somebody else holds it now."""
        for gauge in (self._entries, self._bytes, self._watermark):
            with suppress(KeyError):  # nothing was committed of it
                gauge.remove(self._stage, str(partition))
