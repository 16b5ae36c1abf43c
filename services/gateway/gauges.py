"""What the gateway tells about its clients beside the reader's own metrics."""

from collections import Counter

from penstock import metrics
from penstock.metrics import Metrics
from services.gateway.hub import Hub


class Gauges:
    def __init__(self, table: Metrics) -> None:
        self._clients = table.gauge(metrics.GATEWAY_CLIENTS)
        self._filters = table.gauge(metrics.GATEWAY_FILTERS)
        self._dropped = table.counter(metrics.GATEWAY_DROPPED)
        self._told: Counter[str] = Counter()

    def show(self, hub: Hub) -> None:
        """Brings the metrics to what the hub says; called now and then."""
        self._clients.labels("live").set(hub.live)
        self._clients.labels("behind").set(hub.behind)
        self._filters.set(hub.filters)
        for why, count in hub.dropped.items():
            self._dropped.labels(why).inc(count - self._told[why])
        self._told = hub.dropped.copy()
